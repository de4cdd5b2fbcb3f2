import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Bus, ensureStreams, recordedRuns, storeKept, streamCreated } from '#core/bus'
import { getFile, putFile } from '#core/files'
import { openJournal, readRun, writeOutcome } from '#core/journal'
import { startNats, type TestNats } from '../../../test/support/nats.ts'
import { addressOfRun } from '../resources/job.ts'
import { effective, run as makeRun } from '../testing/objects.ts'
import { RunRecords } from './record.ts'
import { taskMessage } from './task.ts'

let nats: TestNats
let bus: Bus
let records: RunRecords
const stop = new AbortController()
const now = new Date('2026-01-01T00:00:00Z')

beforeAll(async () => {
  nats = await startNats()
  bus = await nats.connect({ kind: 'controller' })
  await ensureStreams(bus)
  records = new RunRecords(bus, stop.signal)
})
afterAll(async () => {
  stop.abort()
  await nats.close()
})

async function opened(name: string) {
  const run = makeRun(name)
  const address = addressOfRun(run)
  await records.open(address, taskMessage(run, effective, undefined))
  return { run, address, bridge: await nats.connect({ kind: 'bridge', run: address }) }
}

const failed = { phase: 'Failed', reason: 'AgentDied', error: 'killed', exitCode: 137 } as const

describe('RunRecords', () => {
  it('sends task and cancel once, however often they are sent', async () => {
    const { run, address } = await opened('twice')
    await records.open(address, taskMessage(run, effective, undefined))
    await records.cancel(address)
    await records.cancel(address)
    const { inbox } = await readRun(bus, address, stop.signal)
    expect(inbox.map((message) => message.type)).toEqual(['task', 'cancel'])
  })

  it('forgets at the end of a run what was brought to it, and not what it handed over', async () => {
    const { address, bridge } = await opened('files')
    const channel = await nats.connect({ kind: 'channel', channel: { ...address, channel: 'chat' } })
    const from = { channel: 'chat' }
    const brought = await putFile(channel, address, from, Buffer.from('brought'))
    const handed = await putFile(bridge, address, 'agent', Buffer.from('handed'))
    await records.release(address)
    expect(await getFile(bridge, address, from, brought)).toBeDefined()
    await records.release(address, 'chat')
    expect(await getFile(bridge, address, from, brought)).toBeUndefined()
    expect(await getFile(channel, address, 'agent', handed)).toBeDefined()
  })

  it('sums the usage of the record into an outcome of its own', async () => {
    const { address, bridge } = await opened('usage')
    const journal = await openJournal(bridge, address, 1, { signal: stop.signal })
    const hash = 'a'.repeat(64)
    const allow = { action: 'allow', reason: '' } as const
    const answer = { ok: true, output: '' } as const
    await journal.append({
      kind: 'called',
      call: { id: 'model-1', tool: 'model', inputHash: hash, step: 1 },
      verdict: allow,
    })
    await journal.append({
      kind: 'answered',
      callId: 'model-1',
      tool: 'model',
      answer,
      durationMs: 1,
      tokens: { input: 5, output: 7 },
    })
    await journal.append({ kind: 'called', call: { id: 'a', tool: 'exec', inputHash: hash }, verdict: allow })
    await journal.append({
      kind: 'called',
      call: { id: 'b', tool: 'exec', inputHash: hash },
      verdict: { action: 'deny', reason: 'no' },
    })
    expect(await records.look(address)).toEqual({ outcome: undefined, called: true })
    const outcome = await records.conclude(address, failed, now)
    expect(outcome).toMatchObject({
      writer: 'controller',
      reason: 'AgentDied',
      usage: { inputTokens: 5, outputTokens: 7, modelCalls: 1, toolCalls: 1 },
    })
    expect((await records.look(address)).outcome).toEqual(outcome)
  })

  it('takes the outcome that was there first, also when both write at once', async () => {
    const { address, bridge } = await opened('race')
    const usage = { inputTokens: 0, outputTokens: 0, modelCalls: 0, toolCalls: 0 }
    const good = {
      run: address.uid,
      attempt: 1,
      at: now.toISOString(),
      writer: 'bridge',
      phase: 'Succeeded',
      reason: 'Completed',
      usage,
    } as const
    const bridgeWrites = writeOutcome(bridge, address, good).then(
      () => true,
      () => false,
    )
    const seen = await records.conclude(address, failed, now)
    const bridgeWon = await bridgeWrites
    expect(seen.writer).toBe(bridgeWon ? 'bridge' : 'controller')
    expect(await records.conclude(address, failed, now)).toEqual(seen)
  })

  it('forgets a run without a trace', async () => {
    const { address } = await opened('forgotten')
    await records.release(address)
    await records.release(address)
    expect((await recordedRuns(bus)).map((run) => run.uid)).toContain(address.uid)
    await records.forget(address)
    expect((await recordedRuns(bus)).map((run) => run.uid)).not.toContain(address.uid)
    await records.forget(address)
  })

  it('forgets no run that is still to be kept elsewhere', async () => {
    const { address } = await opened('kept')
    const apiserver = await nats.connect({ kind: 'apiserver' })
    const created = await streamCreated(bus, 'RUNS')
    await storeKept(apiserver, { created, sequence: 0 })
    expect(await records.forget(address)).toMatchObject({ requeueAfterMs: expect.any(Number) })
    expect(await recordedRuns(bus)).toContainEqual(address)
    // Another stream of that name says nothing about this one.
    await storeKept(apiserver, { created: 'before', sequence: 1_000_000 })
    expect(await records.forget(address)).toBeDefined()
    await storeKept(apiserver, { created, sequence: 1_000_000 })
    expect(await records.forget(address)).toBeUndefined()
    expect(await recordedRuns(bus)).not.toContainEqual(address)
  })
})
