import { createServer, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { type Figure, figure, type Skip } from './figures.ts'
import { bodyOf, listen } from './http.ts'
import type { Subject } from './subject.ts'

/** A machine of this size bears a few whole pods, so there are few streams, each as fast as a fast model. */
const streams = 4
const chunksPerStream = 500
const everyMs = 8
/** Goal: p50 4 ms. */
const goalMs = 4

/**
 * streamLatency: a provider sends a piece of text to a WebSocket client holding it. The provider is this process, and
 * so is the client: each piece is the time at which it was sent. Held against the goal.
 */
export async function streamLatency(subject: Subject): Promise<Figure | Skip> {
  if (subject.platform.isolation === 'none')
    return { skipped: 'agents are not isolated here, so only the demo model runs' }
  const start = Promise.withResolvers<void>()
  const waiting: ServerResponse[] = []
  const provider = createServer((request, response) => {
    void bodyOf(request).then(async () => {
      waiting.push(response)
      await start.promise
      await speak(response)
    })
  })
  const baseURL = `${await listen(provider)}/v1`
  const sockets: WebSocket[] = []
  try {
    await subject.secret('bench-provider', { apiKey: 'bench', baseURL })
    await subject.instance(
      'bench-stream',
      { model: { provider: 'bench', name: 'bench' }, sandbox: { enabled: true } },
      'bench-provider',
    )
    const samples: number[] = []
    const names = Array.from({ length: streams }, (_, i) => `bench-stream-${i}`)
    const over = names.map((name) => subject.perform(name, { instanceRef: { name: 'bench-stream' } }))
    const running = Promise.all(over)
    running.catch(() => {})
    await Promise.race([running, subject.until('every stream', () => (waiting.length === streams ? true : undefined))])
    const heard = names.map((name) => {
      const socket = listenTo(subject, name, samples)
      sockets.push(socket)
      return new Promise((done, fail) => socket.once('open', done).once('error', fail))
    })
    await Promise.all(heard)
    // What was there before is delivered first; from here on there is nothing but what the provider says.
    await sleep(500)
    start.resolve()
    await running
    return figure('ms', samples, goalMs)
  } finally {
    for (const socket of sockets) socket.terminate()
    provider.closeAllConnections()
    provider.close()
  }
}

function now(): number {
  return performance.timeOrigin + performance.now()
}

async function speak(response: ServerResponse): Promise<void> {
  const send = (data: object) => response.write(`data: ${JSON.stringify(data)}\n\n`)
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (let i = 0; i < chunksPerStream; i++) {
    send({ choices: [{ index: 0, delta: { content: `${now()} ` }, finish_reason: null }] })
    await sleep(everyMs)
  }
  send({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })
  send({ choices: [], usage: { prompt_tokens: 1, completion_tokens: chunksPerStream } })
  response.end('data: [DONE]\n\n')
}

function listenTo(subject: Subject, name: string, samples: number[]): WebSocket {
  const { url, token } = subject.platform
  const address = `${url.replace(/^http/, 'ws')}/api/v1/namespaces/default/runs/${name}/stream`
  const socket = new WebSocket(address, { headers: { authorization: `Bearer ${token}` } })
  socket.on('message', (frame: Buffer) => {
    const at = now()
    const event = JSON.parse(frame.toString()) as { type: string; data: { text?: string } }
    if (event.type !== 'text') return
    for (const sent of (event.data.text ?? '').trim().split(' ')) samples.push(at - Number(sent))
  })
  return socket
}
