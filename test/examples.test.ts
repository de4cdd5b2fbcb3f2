import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import type { AgentRun } from '#core/kinds'
import { allowAll, demoScript, instance, run } from './support/objects.ts'
import { startTestPlatform, type TestPlatform } from './support/platform.ts'
import { pidOf, podOfRun } from './support/pods.ts'
import { type StreamEvent, streamOf } from './support/stream.ts'

/** What JSON that was put together carelessly trips over. */
const nasty = 'say "hello" \\ to $HOME `id` %s ünïcödé \u{1f980}\nand a second line'
const script = stringify({
  steps: [
    {
      when: { turns: 0, tools: ['exec'] },
      reply: {
        text: 'I look first.',
        toolCalls: [{ name: 'exec', arguments: { script: `printf '%s' 'a "b" \\ c' && uname -s` } }],
      },
    },
    { reply: { text: 'You said: {{user}}\nIt printed: {{results.0.stdout}}' } },
  ],
})

let platform: TestPlatform
beforeAll(async () => {
  platform = await startTestPlatform()
  const { secret, authRefs } = demoScript('looks', script)
  const host = (...command: string[]) => ({ image: 'k8sclaw.io/host', command })
  await platform.apply(
    allowAll(),
    secret,
    instance('sh', { image: 'k8sclaw.io/example-sh' }, { authRefs }),
    instance('python', { image: 'k8sclaw.io/example-python' }, { authRefs }),
    instance('killed', host('/bin/sh', '-c', 'kill -9 $$$$')),
    instance('sleeps', host('/bin/sleep', '50')),
    instance('silent', host('/bin/true')),
    instance('fails', host('/bin/sh', '-c', 'echo something is wrong; exit 3')),
    instance('invalid', host('/bin/sh', '-c', 'mkdir -p /ipc/output; echo "{" > /ipc/output/result.json')),
    instance('absent', host('/no/such/program')),
  )
})
afterAll(async () => platform?.close())

/** Creates a run and follows it to its end. */
async function outcomeOf(name: string, of: string, spec: object = {}): Promise<{ run: AgentRun; seen: StreamEvent[] }> {
  await platform.apply(run(name, of, spec))
  const seen: StreamEvent[] = []
  await streamOf(platform, 'default', name, (event) => seen.push(event)).done
  const ended = ['Succeeded', 'Failed', 'Cancelled', 'TimedOut']
  await expect
    .poll(async () => (await platform.getJson<AgentRun>('get', 'agentrun', name)).status?.phase, { timeout: 30_000 })
    .toSatisfy((phase: string) => ended.includes(phase))
  return { run: await platform.getJson<AgentRun>('get', 'agentrun', name), seen }
}

describe.each(['sh', 'python'])('the example agent in %s', (language) => {
  test('asks the model, has a command run, and answers', async () => {
    const { run: done, seen } = await outcomeOf(`${language}-works`, language, { task: nasty })
    expect(done.status).toMatchObject({ phase: 'Succeeded', reason: 'Completed' })
    expect(done.status?.result).toBe(`You said: ${nasty}\nIt printed: a "b" \\ cLinux`)
    expect(done.status?.usage).toMatchObject({ modelCalls: 2, toolCalls: 1 })
    expect(seen.map((event) => event.type)).toContain('text')
    expect(seen.filter((event) => event.type === 'outcome')).toHaveLength(1)
  })

  test('is told what it may not, and goes on', async () => {
    const { run: done, seen } = await outcomeOf(`${language}-denied`, language, { toolPolicy: { deny: ['exec'] } })
    expect(done.status).toMatchObject({ phase: 'Succeeded', result: expect.stringContaining('You said: do it') })
    expect(done.status?.usage?.toolCalls).toBe(0)
    expect(JSON.stringify(seen)).not.toContain('Linux')
  })

  test('is cancelled', async () => {
    const name = `${language}-cancelled`
    const { secret, authRefs } = demoScript('slow', 'steps: [{ reply: { text: "I think.", delayMs: 30000 } }]')
    await platform.apply(
      secret,
      instance(`${language}-slow`, { image: `k8sclaw.io/example-${language}` }, { authRefs }),
    )
    await platform.apply(run(name, `${language}-slow`))
    await podOfRun(platform, name)
    await platform.kubectl(['patch', 'agentrun', name, '--type=merge', '-p', '{"spec":{"cancel":true}}'])
    await platform.kubectl(['wait', `agentrun/${name}`, '--for=jsonpath={.status.phase}=Cancelled', '--timeout=30s'])
  })
})

describe('an agent that', () => {
  test('is killed by somebody is Failed, AgentDied', async () => {
    await platform.apply(run('shot', 'sleeps'))
    const pod = await podOfRun(platform, 'shot')
    process.kill(pidOf(platform, pod, 'agent') ?? Number.NaN, 'SIGKILL')
    const { run: done } = await outcomeOf('shot', 'sleeps')
    expect(done.status).toMatchObject({ phase: 'Failed', reason: 'AgentDied', exitCode: 137 })
  })

  test.each([
    ['kills itself', 'killed', { reason: 'AgentDied', exitCode: 137, error: expect.stringContaining('signal 9') }],
    ['exits 0 without a result', 'silent', { reason: 'NoResult', exitCode: 0 }],
    ['exits 0 with a result that is not JSON', 'invalid', { reason: 'NoResult', exitCode: 0 }],
    ['exits 3', 'fails', { reason: 'AgentFailed', exitCode: 3, error: expect.stringContaining('exit code 3') }],
    ['is a program that does not exist', 'absent', { reason: 'AgentFailed' }],
  ])('%s is Failed, and says why', async (_, of, status) => {
    const { run: done, seen } = await outcomeOf(of, of)
    expect(done.status).toMatchObject({ phase: 'Failed', ...status })
    expect(seen.at(-1)).toMatchObject({ type: 'outcome', data: { phase: 'Failed', reason: status.reason } })
  })

  test("has its last words in the pod's log", async () => {
    const { status } = await platform.getJson<AgentRun>('get', 'agentrun', 'fails')
    expect(await platform.kubectl(['logs', `job/${status?.jobName}`, '-c', 'agent'])).toBe('something is wrong\n')
  })
})
