import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Bus, ensureStreams, lastMessage } from '#core/bus'
import { runSubjects } from '#core/identity'
import type { UsageMessage } from '#core/journal'
import { ask, startGateway, type TestGateway } from '../../test/support/gateway.ts'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import { portOn } from './bus-port.ts'
import { UsageOutbox } from './usage-outbox.ts'

const run = (uid: string) => ({ namespace: 'tenant-a', instance: 'helper', uid })
const body = { model: 'demo', stream: true, messages: [{ role: 'user', content: 'hello' }] }

let nats: TestNats
let reader: Bus
let gateway: TestGateway

beforeAll(async () => {
  nats = await startNats()
  await ensureStreams(await nats.connect({ kind: 'controller' }))
  reader = await nats.connect({ kind: 'controller' })
  gateway = await startGateway({ bus: portOn(nats.connect({ kind: 'gateway' })) })
})
afterAll(async () => {
  await gateway.close()
  await nats.close()
})

const call = (uid: string) =>
  ask(`${gateway.url}/openai/v1/chat/completions`, {
    token: gateway.token({ uid }),
    body,
    headers: { 'x-k8sclaw-step': '2' },
  })
const usageOf = async (uid: string) => (await lastMessage(reader, 'USAGE', runSubjects(run(uid)).usage))?.value

describe('on a real bus', () => {
  it('the text is published to the live subject of the run and the tokens to its usage', async () => {
    const { trailers } = await call('uid-live')
    const { input, output } = JSON.parse(trailers['x-k8sclaw-usage'] ?? '{}') as { input: number; output: number }
    await expect
      .poll(() => usageOf('uid-live'))
      .toMatchObject({ run: 'uid-live', step: 2, provider: 'demo', inputTokens: input, outputTokens: output })
    await expect
      .poll(async () => (await lastMessage(reader, 'LIVE', runSubjects(run('uid-live')).liveModel))?.value)
      .toMatchObject({ step: 2, source: 'model', text: expect.stringContaining('script.)') as string })
  })

  it('a bus that is away costs no model call, and gets the usage when it is back', async () => {
    await nats.kill9()
    const { status, trailers } = await call('uid-away')
    expect(status).toBe(200)
    expect(trailers['x-k8sclaw-usage']).toBeDefined()
    await nats.restart()
    await expect.poll(() => usageOf('uid-away'), { timeout: 20_000 }).toMatchObject({ run: 'uid-away', status: 200 })
  })
})

describe('what was metered', () => {
  const message = (step: number): UsageMessage => ({
    run: 'uid-1',
    attempt: 1,
    step,
    at: new Date(0).toISOString(),
    provider: 'demo',
    model: 'demo',
    status: 200,
  })

  it('is written to the log where it cannot be published any more', async () => {
    const lines: string[] = []
    const log = pino({}, { write: (line: string) => void lines.push(line) })
    const never = portOn(new Promise(() => {}))
    const outbox = new UsageOutbox(never, log)
    for (const step of [1, 2]) outbox.add(run('uid-1'), `id-${step}`, message(step))
    await outbox.close(0)
    outbox.add(run('uid-1'), 'id-3', message(3))
    const logged = lines.map((line) => JSON.parse(line) as { msg: string; namespace: string; usage: UsageMessage })
    expect(logged.map((l) => [l.msg, l.namespace, l.usage.step])).toEqual(
      [1, 2, 3].map((step) => ['usage not published', 'tenant-a', step]),
    )
  })
})
