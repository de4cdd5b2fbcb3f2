import { EventSource } from 'eventsource'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Bus, ensureRunConsumers, ensureStreams } from '#core/bus'
import type { RunAddress } from '#core/identity'
import { openJournal, publishLive, type RunEvent, writeOutcome } from '#core/journal'
import { type AgentRun, agentRuns } from '#core/kinds'
import { startNats, type TestNats } from '../../../test/support/nats.ts'
import { DocumentClient } from '../testing/client.test-support.ts'
import { type Served, startServed } from '../testing/served.test-support.ts'

let served: Served
let nats: TestNats
let controller: Bus
let token: string
let client: DocumentClient

beforeAll(async () => {
  nats = await startNats()
  controller = await nats.connect({ kind: 'controller' })
  await ensureStreams(controller)
  const bus = await nats.connect({ kind: 'apiserver' })
  served = await startServed({ bus: () => bus })
  token = await served.account('red', 'red', ['*'])
  const document = (await (await fetch(`${served.base}/openapi.json`)).json()) as object
  client = new DocumentClient(document, served.base, token)
})
afterAll(async () => {
  client?.close()
  await served?.close()
  await nats?.close()
})

/** What bridge and gateway would do for a run whose agent answers in two pieces. */
async function answer(run: RunAddress, pieces: string[]): Promise<void> {
  const gateway = await nats.connect({ kind: 'gateway' })
  const bridge = await nats.connect({ kind: 'bridge', run })
  const journal = await openJournal(bridge, run, 1, { signal: AbortSignal.timeout(30_000) })
  const model = { id: 'model-1', tool: 'model', inputHash: '0'.repeat(64), step: 1 }
  await journal.append({ kind: 'called', call: model, verdict: { action: 'allow', reason: 'models' } })
  let offset = 0
  for (const text of pieces) {
    publishLive(gateway, run, { attempt: 1, step: 1, offset, kind: 'text', source: 'model', text })
    offset += text.length
  }
  await gateway.nats.flush()
  const result = pieces.join('')
  const said = { ok: true, output: { text: result } } as const
  await journal.append({ kind: 'answered', callId: 'model-1', tool: 'model', answer: said, durationMs: 1 })
  await writeOutcome(bridge, run, {
    ...{ run: run.uid, attempt: 1, at: '2026-01-01T00:00:00.000Z', writer: 'bridge', result },
    ...{ phase: 'Succeeded', reason: 'Completed' },
    usage: { inputTokens: 1, outputTokens: 1, modelCalls: 1, toolCalls: 0 },
  })
}

/** Follows a run as a page would, and has its connection cut after so many events. */
function listen(name: string, cutAfter: number): Promise<RunEvent[]> {
  const heard: RunEvent[] = []
  return new Promise((resolve) => {
    const source = new EventSource(`${served.base}/api/v1/namespaces/red/runs/${name}/events`, {
      fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, authorization: `Bearer ${token}` } }),
    })
    for (const type of ['called', 'answered', 'text', 'status', 'outcome'] as const) {
      source.addEventListener(type, ({ lastEventId, data }) => {
        heard.push({ id: lastEventId, type, data: JSON.parse(String(data)) } as RunEvent)
        if (heard.length === cutAfter) served.cut()
        if (type !== 'outcome') return
        source.close()
        resolve(heard)
      })
    }
  })
}

test('a client made of openapi.json and an EventSource hold a conversation, across a connection that is cut', async () => {
  for (const [turn, pieces] of [
    ['Hello?', ['Hel', 'lo!']],
    ['And now?', ['Now ', 'we know each other.']],
  ] as const) {
    const made = await client.call('createRun', {
      params: { ns: 'red' },
      headers: { 'idempotency-key': turn.replaceAll(' ', '-') },
      body: { instance: 'bot', task: turn, sessionKey: 'a-page' },
    })
    const { name, uid } = made.json.metadata
    const run = { namespace: 'red', instance: 'bot', uid }
    await ensureRunConsumers(controller, run)
    const heard = listen(name, 2)
    await answer(run, [...pieces])
    const events = await heard
    expect(events.map(({ type }) => type).filter((type) => type !== 'text')).toEqual(['called', 'answered', 'outcome'])
    const text = events.flatMap((event) => (event.type === 'text' ? [event.data.text] : []))
    expect(text.join('')).toBe(pieces.join(''))
    expect(new Set(events.map(({ id }) => id)).size).toBe(events.length)

    const at = { namespace: 'red', name }
    const status = { phase: 'Succeeded', reason: 'Completed', result: pieces.join('') }
    await served.cluster.admin.patch<AgentRun>(agentRuns, at, { status }, 'status')
    expect((await client.call('getRun', { params: { ns: 'red', name } })).json.status.result).toBe(pieces.join(''))
  }
  const { json } = await client.call('listRuns', {
    params: { ns: 'red' },
    query: { instance: 'bot', phase: 'Succeeded' },
  })
  expect(json.items).toHaveLength(2)
})
