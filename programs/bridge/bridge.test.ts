import { spawn } from 'node:child_process'
import { existsSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { tail } from '#core/bus'
import { runSubjects } from '#core/identity'
import { taskFile } from '#core/ipc'
import { type Call, type LiveMessage, liveMessage, openJournal, sendIn } from '#core/journal'
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
  return await rig.start()
}
const answerOf = async (id: string) => {
  await vi.waitFor(() => expect(rig.answer(id)).toBeDefined(), patient)
  return rig.answer(id)
}
const outcome = () =>
  vi.waitFor(async () => {
    const record = await rig.record()
    if (!record.outcome) throw new Error('no outcome yet')
    return record.outcome
  }, patient)
const file = (name: string) => join(rig.workspace, name)
const linesOf = (name: string) => readFileSync(file(name), 'utf8').trim().split('\n')

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
    expect(readFileSync(file('f'), 'utf8')).toBe('hello\n')
  })

  it('gives the agent its task with the tools it may call, in folders that its group may use', async () => {
    await begin({ effective: { toolGating: { defaultAction: 'allow', rules: [{ tool: 'write_*', action: 'deny' }] } } })
    const task = taskFile.parse(JSON.parse(readFileSync(join(rig.ipcDir, 'input', 'task.json'), 'utf8')))
    expect(task.tools.map(({ name }) => name)).toEqual(['exec', 'read_file', 'edit_file', 'list_files', 'search_files'])
    expect(task.skills).toEqual([{ name: 'git', description: 'how to', path: '/skills/git.md' }])
    const modes = ['input', 'input/results', 'tools', 'output', 'input/task.json'].map((name) =>
      (statSync(join(rig.ipcDir, name)).mode & 0o7777).toString(8),
    )
    expect(modes).toEqual(['2750', '2750', '2770', '2770', '640'])
  })

  it('ends Failed with an error of the agent, by its first valid result', async () => {
    await begin()
    rig.put('output/result.json', '{"status":"maybe"}')
    await vi.waitFor(async () => expect(await rig.entries('noted')).toHaveLength(1), patient)
    rig.put('output/result.json', '{"status":"error","error":{"code":"lost","message":"no way"},"response":"half"}')
    expect(await outcome()).toMatchObject({
      phase: 'Failed',
      reason: 'AgentError',
      error: 'lost: no way',
      result: 'half',
    })
    rig.result('too late')
    rig.request('late', 'exec', { command: 'true' })
    expect(await answerOf('late')).toMatchObject({ error: { code: 'run_ended' } })
    expect(await outcome()).toMatchObject({ phase: 'Failed' })
  })

  it('ends at its deadline, and what it was doing with it', async () => {
    await begin({ effective: { limits: { timeoutSeconds: 2, maxSteps: 1, maxTokens: 1 } } })
    rig.request('long', 'exec', { script: 'echo $$ > pid; sleep 1000' })
    expect(await outcome()).toMatchObject({ phase: 'TimedOut', reason: 'DeadlineExceeded' })
    expect(await answerOf('long')).toMatchObject({ error: { code: 'run_ended' } })
    await vi.waitFor(() => expect(existsSync(`/proc/${readFileSync(file('pid'), 'utf8').trim()}`)).toBe(false), patient)
  })

  it('is cancelled: the agent is told, and its last words are kept', async () => {
    await begin()
    await sendIn(rig.controller, rig.run, { type: 'cancel', reason: 'changed my mind', graceSeconds: 60 })
    const cancel = join(rig.ipcDir, 'input', 'cancel.json')
    await vi.waitFor(() => expect(existsSync(cancel)).toBe(true), patient)
    expect(JSON.parse(readFileSync(cancel, 'utf8'))).toEqual({ reason: 'changed my mind', graceSeconds: 60 })
    rig.result('half of it')
    expect(await outcome()).toMatchObject({
      phase: 'Cancelled',
      reason: 'Cancelled',
      error: 'changed my mind',
      result: 'half of it',
    })
  })

  it('is cancelled when the agent says nothing within the grace', async () => {
    await begin()
    await sendIn(rig.controller, rig.run, { type: 'cancel', reason: '', graceSeconds: 0 })
    expect(await outcome()).toMatchObject({ phase: 'Cancelled' })
  })

  it('publishes what the agent says as it says it', async () => {
    await begin()
    const stop = new AbortController()
    const live = await tail(rig.controller, { stream: 'LIVE', subject: runSubjects(rig.run).live, signal: stop.signal })
    const heard: LiveMessage[] = []
    const listening = (async () => {
      for await (const message of live) heard.push(liveMessage.parse(message.value()))
    })()
    rig.say('one')
    await vi.waitFor(() => expect(heard).toHaveLength(1), patient)
    await rig.kill9()
    rig.say('twö')
    await rig.start()
    rig.say('three')
    await vi.waitFor(() => expect(heard).toHaveLength(3), patient)
    const said = { attempt: 1, step: 0, kind: 'text', source: 'agent' }
    expect(heard).toEqual([
      { ...said, offset: 0, text: 'one' },
      { ...said, offset: 3, text: 'twö' },
      { ...said, offset: 6, text: 'three' },
    ])
    stop.abort()
    await listening
  })
})

describe('what is not allowed', () => {
  it('is recorded with the reason and answered denied, unknown_tool or invalid_input, and not performed', async () => {
    await begin({ effective: { toolGating: { defaultAction: 'allow', rules: [{ tool: 'exec', action: 'deny' }] } } })
    rig.request('denied', 'exec', { script: 'touch x' })
    rig.request('unknown', 'launch', {})
    rig.request('wrong', 'read_file', { path: 7 })
    expect(await answerOf('denied')).toMatchObject({
      error: { code: 'denied', message: expect.stringContaining('exec') },
    })
    expect(await answerOf('unknown')).toMatchObject({ error: { code: 'unknown_tool' } })
    expect(await answerOf('wrong')).toMatchObject({
      error: { code: 'invalid_input', message: expect.stringContaining('path') },
    })
    const verdicts = Object.fromEntries(
      (await rig.entries('called')).map(({ call, verdict }) => [call.id, verdict.action]),
    )
    expect(verdicts).toEqual({ denied: 'deny', unknown: 'deny', wrong: 'allow' })
    expect(await rig.entries('answered')).toHaveLength(3)
    expect(existsSync(file('x'))).toBe(false)
  })

  it('includes every tool where there is no sandbox', async () => {
    await begin({ sandbox: false })
    const task = taskFile.parse(JSON.parse(readFileSync(join(rig.ipcDir, 'input', 'task.json'), 'utf8')))
    expect(task.tools).toEqual([])
    rig.request('1', 'exec', { command: 'true' })
    expect(await answerOf('1')).toMatchObject({ error: { code: 'unknown_tool' } })
  })
})

describe('a bridge that is killed', () => {
  it('during an exec answers it in_doubt when it is back, and performs nothing twice', async () => {
    await begin()
    rig.request('1', 'exec', { script: 'echo x >> f; sleep 1000' })
    await vi.waitFor(() => expect(existsSync(file('f'))).toBe(true), patient)
    await rig.kill9()
    await rig.start()
    expect(await answerOf('1')).toMatchObject({ ok: false, error: { code: 'in_doubt' } })
    rig.request('2', 'exec', { script: 'echo y >> f' })
    await answerOf('2')
    expect(linesOf('f')).toEqual(['x', 'y'])
    expect((await rig.entries('answered')).map(({ callId }) => callId)).toEqual(['1', '2'])
    rig.result('done')
    expect(await outcome()).toMatchObject({ phase: 'Succeeded', usage: { toolCalls: 2 } })
  })

  it('before a request was recorded takes it up when it is back', async () => {
    await begin()
    await rig.kill9()
    rig.request('1', 'exec', { script: 'echo x >> f' })
    rig.request('2', 'read_file', { path: 'gone' })
    await rig.start()
    expect(await answerOf('1')).toMatchObject({ ok: true })
    expect(linesOf('f')).toEqual(['x'])
  })

  it('gives the same answers again, and goes on counting', async () => {
    await begin()
    rig.request('1', 'exec', { script: 'echo x >> f; cat f' })
    const first = await answerOf('1')
    await rig.kill9()
    const results = join(rig.ipcDir, 'input', 'results', '1.json')

    rmSync(results)
    await rig.start()
    expect(await answerOf('1')).toEqual(first)
    rig.request('1', 'exec', { script: 'echo x >> f; cat f' })
    rig.request('2', 'exec', { command: 'true' })
    await answerOf('2')
    expect(linesOf('f')).toEqual(['x'])
    rig.result('done')
    expect(await outcome()).toMatchObject({ usage: { toolCalls: 2 } })
  })

  it('after result.json writes the one outcome when it is back, and then performs nothing', async () => {
    await begin()
    await rig.kill9()
    rig.result('done')
    rig.request('1', 'exec', { script: 'echo x >> f' })
    await rig.start()
    expect(await outcome()).toMatchObject({ phase: 'Succeeded', result: 'done' })
    await rig.kill9()
    await rig.start()
    rig.request('2', 'exec', { script: 'echo y >> g' })
    expect(await answerOf('2')).toMatchObject({ error: { code: 'run_ended' } })
    expect(existsSync(file('g'))).toBe(false)
  })

  it('does not get more time by it: the run began when its task was written', async () => {
    await begin()
    await rig.kill9()
    const longAgo = Date.now() / 1000 - 3_600
    utimesSync(join(rig.ipcDir, 'input', 'task.json'), longAgo, longAgo)
    await rig.start()
    expect(await outcome()).toMatchObject({ phase: 'TimedOut', reason: 'DeadlineExceeded' })
  })

  it.each([
    ['TimedOut', 'gave up after it', -60, '{"status":"error","error":{"code":"timeout","message":"not done"}}'],
    ['TimedOut', 'was done after it and gives its result another date', -60, '{"status":"success","response":"late"}'],
    ['Succeeded', 'was done before it', 2, '{"status":"success","response":"done"}'],
  ])('over the end of its time ends the run %s where the agent %s', async (phase, _, leftSeconds, result) => {
    await begin()
    await rig.kill9()
    const dated = (path: string, at: number) => utimesSync(join(rig.ipcDir, path), at, at)
    const deadline = Date.now() / 1_000 + leftSeconds
    dated('input/task.json', deadline - 600)
    rig.put('output/result.json', result)
    if (phase === 'TimedOut') dated('output/result.json', deadline - 1)
    await vi.waitFor(() => expect(Date.now() / 1_000).toBeGreaterThan(deadline), patient)
    await rig.start()
    expect(await outcome()).toMatchObject({ writer: 'bridge', phase })
  })

  it('after the agent was told of a cancel knows of it, before it reads what the agent made of that', async () => {
    await begin()
    await sendIn(rig.controller, rig.run, { type: 'cancel', reason: 'stop', graceSeconds: 60 })
    await vi.waitFor(() => expect(existsSync(join(rig.ipcDir, 'input', 'cancel.json'))).toBe(true), patient)
    await rig.kill9()
    rig.put('output/result.json', '{"status":"error","error":{"code":"cancelled","message":"stop"}}')
    await rig.start()
    expect(await outcome()).toMatchObject({ phase: 'Cancelled', reason: 'Cancelled', error: 'stop' })
  })

  it('before the agent was told of a cancel counts what it had done until then', async () => {
    await begin()
    await rig.kill9()
    rig.result('done')
    await sendIn(rig.controller, rig.run, { type: 'cancel', reason: 'stop', graceSeconds: 60 })
    // The clock by which files are dated goes on in ticks.
    await vi.waitFor(() => {
      rig.put('output/tick', '')
      const dated = (name: string) => statSync(join(rig.ipcDir, 'output', name)).mtimeMs
      expect(dated('tick')).toBeGreaterThan(dated('result.json'))
    }, patient)
    await rig.start()
    expect(await outcome()).toMatchObject({ phase: 'Succeeded', reason: 'Completed', result: 'done' })
  })

  it('by SIGTERM writes nothing of its own', async () => {
    await begin()
    expect(await rig.stop()).toBe(0)
    expect((await rig.record()).outcome).toBeUndefined()
  })

  it('by SIGTERM looks once more for a result', async () => {
    const child = await begin()
    child.kill('SIGSTOP')
    rig.result('just in time')
    const stopped = rig.stop()
    child.kill('SIGCONT')
    expect(await stopped).toBe(0)
    expect((await rig.record()).outcome).toMatchObject({ phase: 'Succeeded', result: 'just in time' })
  })

  it('leaves calls open in the record, of which the next one repeats only what changes nothing', async () => {
    rig = await startBridgeRig({ nats })
    writeFileSync(file('f'), 'content')
    const killed = await openJournal(await nats.connect({ kind: 'bridge', run: rig.run }), rig.run, 1, {
      signal: AbortSignal.timeout(10_000),
    })
    const open = (call: Omit<Call, 'inputHash'>, action: 'allow' | 'deny' = 'allow') =>
      killed.append({
        kind: 'called',
        call: { ...call, inputHash: '0'.repeat(64) },
        verdict: { action, reason: 'test' },
      })
    await open({ id: 'read', tool: 'read_file', input: { path: 'f' } })
    await open({ id: 'write', tool: 'write_file', input: { path: 'f', content: 'changed' } })
    await open({ id: 'nonsense', tool: 'launch', input: {} }, 'deny')
    await open({ id: 'model-1', tool: 'model', step: 1 })
    await rig.start()
    expect(await answerOf('read')).toMatchObject({ ok: true, output: { content: 'content' } })
    expect(await answerOf('write')).toMatchObject({ error: { code: 'in_doubt' } })
    expect(await answerOf('nonsense')).toMatchObject({ error: { code: 'unknown_tool' } })
    expect(readFileSync(file('f'), 'utf8')).toBe('content')
    await vi.waitFor(async () => expect(await rig.entries('answered')).toHaveLength(4), patient)
    expect((await rig.entries('answered')).find(({ callId }) => callId === 'model-1')).toMatchObject({
      answer: { error: { code: 'in_doubt' } },
    })
    expect(rig.answer('model-1')).toBeUndefined()
  })
})

describe('the record', () => {
  it('is waited for while the bus is away: nothing is performed that is not in it', async () => {
    await begin()
    await nats.kill9()
    rig.request('1', 'exec', { script: 'echo x >> f' })
    await new Promise((resolve) => setTimeout(resolve, 600))
    expect(existsSync(file('f'))).toBe(false)
    await nats.restart()
    expect(await answerOf('1')).toMatchObject({ ok: true })
    expect(linesOf('f')).toEqual(['x'])
  })

  it('has one writer: a bridge that another one has replaced performs nothing more', async () => {
    await begin()
    rig.request('1', 'exec', { script: 'echo $$ > pid; sleep 1000' })
    await vi.waitFor(() => expect(existsSync(file('pid'))).toBe(true), patient)
    const other = await openJournal(await nats.connect({ kind: 'bridge', run: rig.run }), rig.run, 1, {
      signal: AbortSignal.timeout(10_000),
    })
    await other.append({ kind: 'noted', code: 'test', message: 'the other was here' })
    rig.request('2', 'exec', { script: 'echo y >> g' })
    expect(await answerOf('2')).toMatchObject({ error: { code: 'run_ended' } })
    expect(await answerOf('1')).toMatchObject({ error: { code: 'run_ended' } })
    await vi.waitFor(() => expect(existsSync(`/proc/${readFileSync(file('pid'), 'utf8').trim()}`)).toBe(false), patient)
    rig.result('not mine to say')
    rig.request('3', 'exec', { script: 'echo y >> g' })
    expect(await answerOf('3')).toMatchObject({ error: { code: 'run_ended' } })
    expect(existsSync(file('g'))).toBe(false)
    expect((await rig.record()).outcome).toBeUndefined()
  })
})
