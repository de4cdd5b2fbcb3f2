/**
 * The plainest chat service that there could be, over HTTP: polled for messages with an offset, told what to post and to
 * edit, with a limit of 200 characters, markup in asterisks, and every refusal that the frame of channels tells apart. No
 * service of anybody's; for tests of the frame.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'

interface Posted {
  id: string
  chat: string
  text: string
}

const retryAfterMs = 700

export async function startBoard() {
  const token = 'board-token-1'
  const said: { offset: number; id: string; chat: string; text: string }[] = []
  const posted: Posted[] = []
  const edits = new Map<string, number>()
  const typing = new Map<string, number>()
  const gone = new Set<string>()
  const state = { offset: 0, out: false, floods: 0, markups: 0, refused: false, notBefore: 0, impatient: 0 }
  let taken = 0
  let swallow: (() => void) | undefined
  let wake = Promise.withResolvers<void>()

  const server = createServer((request, response) => {
    if (state.out) {
      request.socket.destroy()
      return
    }
    void answer(request, response)
  })

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const say = (status: number, body: object = {}) => response.writeHead(status).end(JSON.stringify(body))
    if (state.refused || request.headers.authorization !== `Bearer ${token}`) return void say(401)
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://board')
    if (pathname === '/updates') {
      taken = Math.max(taken, Number(searchParams.get('after')))
      const left = () => said.filter(({ offset }) => offset > Number(searchParams.get('after')))
      if (left().length === 0) await Promise.race([wake.promise, new Promise((done) => setTimeout(done, 1_000))])
      return void say(200, { updates: left() })
    }
    const body = (await json(request)) as { chat: string; text: string; plain?: boolean; message?: string }
    if (pathname === '/typing') {
      typing.set(body.chat, (typing.get(body.chat) ?? 0) + 1)
      return void say(200)
    }
    if (Date.now() < state.notBefore) state.impatient++
    if (state.floods > 0) {
      state.floods--
      state.notBefore = Date.now() + retryAfterMs - 5
      return void say(429, { retryAfterMs })
    }
    if (gone.has(body.chat)) return void say(410)
    if (body.text.length > 200) return void say(413)
    if (!body.plain && state.markups > 0) {
      state.markups--
      return void say(400)
    }
    if (pathname === '/edit') {
      const message = posted.find(({ id }) => id === body.message)
      if (!message) return void say(404)
      message.text = body.text
      edits.set(body.chat, (edits.get(body.chat) ?? 0) + 1)
      return void say(200)
    }
    const id = `m${posted.length + 1}`
    posted.push({ id, chat: body.chat, text: body.text })
    if (swallow) {
      swallow()
      swallow = undefined
      return
    }
    say(200, { id })
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const hear = () => {
    wake.resolve()
    wake = Promise.withResolvers()
  }
  const say = (chat: string, text: string) => {
    const offset = ++state.offset
    said.push({ offset, id: `said-${offset}`, chat, text })
    hear()
  }
  return {
    env: { BOARD_TOKEN: token, BOARD_URL: `http://127.0.0.1:${port}` },
    chat: (n: number) => `room-${n}`,
    say,
    async sayAtOnce(chat: string, texts: readonly string[]) {
      for (const text of texts) say(chat, text)
    },
    sayAgain() {
      for (const one of said) one.offset = ++state.offset
      hear()
    },
    shown: (chat: string) => posted.flatMap((one) => (one.chat === chat ? one.text : [])),
    edits: (chat: string) => edits.get(chat) ?? 0,
    typing: (chat: string) => typing.get(chat) ?? 0,
    allTaken: () => taken >= state.offset,
    swallowAnswer: () =>
      new Promise<void>((resolve) => {
        swallow = resolve
      }),
    outage(on: boolean) {
      state.out = on
      if (on) server.closeAllConnections()
    },
    flood(calls: number) {
      state.floods = calls
    },
    refuseMarkup(calls: number) {
      state.markups = calls
    },
    refuseToken(on: boolean) {
      state.refused = on
    },
    leave(chat: string) {
      gone.add(chat)
    },
    impatientCalls: () => state.impatient,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
