import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type BridgeRig, type RigOptions, startBridgeRig } from '../../test/support/bridge.ts'
import { startNats, type TestNats } from '../../test/support/nats.ts'

let nats: TestNats
let rig: BridgeRig
beforeAll(async () => {
  nats = await startNats()
})
afterAll(() => nats.close())
afterEach(() => rig.close())

const patient = { timeout: 15_000 }

async function begin(options: Omit<RigOptions, 'nats'> = {}) {
  rig = await startBridgeRig({ nats, ...options })
  await rig.start()
}
const outcome = () =>
  vi.waitFor(async () => {
    const record = await rig.record()
    if (!record.outcome) throw new Error('no outcome yet')
    return record.outcome
  }, patient)

describe('a run from its task to its outcome', () => {
  it('is done by an agent of ten lines of shell', async () => {
    await begin()
    const script = `
      set -e
      while [ ! -e input/task.json ]; do sleep 0.05; done
      echo '{"id":"1","tool":"exec","input":{"script":"echo hello > f; cat f"}}' > tools/.1
      mv tools/.1 tools/1.json
      while [ ! -e input/results/1.json ]; do sleep 0.05; done
      grep -q '"stdout":"hello' input/results/1.json
      echo '{"type":"status","text":"nearly done"}' >> output/events.jsonl
      echo '{"status":"success","response":"it said hello"}' > output/.result
      mv output/.result output/result.json`
    const agent = spawn('sh', ['-c', script], { cwd: rig.ipcDir, stdio: 'inherit' })
    expect(await new Promise((resolve) => agent.once('exit', resolve))).toBe(0)
    expect(await outcome()).toMatchObject({
      writer: 'bridge',
      phase: 'Succeeded',
      reason: 'Completed',
      result: 'it said hello',
      usage: { toolCalls: 1, modelCalls: 0, inputTokens: 0, outputTokens: 0 },
    })
    const { entries } = await rig.record()
    expect(entries.map(({ kind }) => kind)).toEqual(['called', 'answered'])
    expect(entries[1]).toMatchObject({ callId: '1', answer: { ok: true, output: { exitCode: 0, stdout: 'hello\n' } } })
    expect(readFileSync(join(rig.workspace, 'f'), 'utf8')).toBe('hello\n')
  })
})
