import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { type AgentRun, isTerminal } from '#core/kinds'
import { allowAll, demoScript, instance } from './support/objects.ts'
import { startTestPlatform, type TestPlatform } from './support/platform.ts'
import { platformReady } from './support/pods.ts'

/*
 * A conversation that grows past what a run is told word for word: the run that needs it has its model summarise the
 * beginning, the runs after it are told the summary, people see who made it, and making the rows again makes it again.
 */

const script = stringify({
  steps: [
    { when: { user: 'Summarise this conversation.*the blue door*' }, reply: { text: 'They spoke of a blue door.' } },
    { when: { user: '*Summarise*' }, reply: { error: { status: 400, message: 'nothing to summarise' } } },
    { reply: { text: 'Noted.' } },
  ],
})

let platform: TestPlatform
beforeAll(async () => {
  platform = await startTestPlatform()
  const { secret, authRefs } = demoScript('terse', script)
  const { spec: _, ...bare } = instance('talk') as { spec: object }
  const agent = { model: { provider: 'demo', name: 'demo' }, timeout: '300s' }
  await platform.apply(allowAll(), secret, { ...bare, spec: { agents: { default: agent }, authRefs } })
  await platformReady(platform)
})
afterAll(async () => platform?.close())

async function said(task: string): Promise<AgentRun> {
  const asked = await platform.fetch('/api/v1/namespaces/default/runs', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ instance: 'talk', task, sessionKey: 'doors' }),
  })
  const { metadata } = (await asked.json()) as AgentRun
  for (;;) {
    const run = await platform.getJson<AgentRun>('get', 'agentrun', metadata.name)
    if (isTerminal(run.status?.phase)) return run
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

/** What was called and said in a run, in order. */
async function eventsOf({ metadata: { name } }: AgentRun): Promise<string[]> {
  const response = await platform.fetch(`/api/v1/namespaces/default/runs/${name}/events`)
  const events = (await response.text()).matchAll(/^event: (called|text)\ndata: (.*)$/gm)
  return [...events].map(([, type, data = '']) => {
    const { call, text } = JSON.parse(data) as { call?: { tool: string }; text?: string }
    return type === 'called' ? `called ${call?.tool}` : `said ${text}`
  })
}

test('the beginning of a long conversation is summarised once, by the run that needs it, and told from there on', async () => {
  const calls = ({ status }: AgentRun) => [status?.phase, status?.usage?.modelCalls]
  const long = `the blue door ${'x'.repeat(40_000)}`
  const first = await said(long)
  const second = await said(long)
  const third = await said('and then?')
  const fourth = await said('and now?')
  expect([first, second, third, fourth].map(calls)).toEqual([
    ['Succeeded', 1],
    ['Succeeded', 1],
    ['Succeeded', 2],
    ['Succeeded', 1],
  ])
  const heard = await eventsOf(third)
  expect(heard.filter((what) => what.startsWith('called'))).toEqual([
    'called history',
    'called summary',
    'called model',
  ])
  expect(heard.filter((what) => what.startsWith('said')).join('')).not.toContain('door')

  const shown = async () => {
    const { code, stdout } = await platform.k8sclaw('sessions', 'show', 'doors')
    expect(code).toBe(0)
    return stdout.replaceAll(/x{100,}/g, '...')
  }
  await expect.poll(shown, { timeout: 60_000 }).toContain('and now?')
  const before = await shown()
  const [above = '', below = ''] = before.split(/\[summary of all above, made at .* by demo\/demo in run /)
  expect(above.match(/the blue door/g)).toHaveLength(2)
  expect(below).toContain(`${third.metadata.uid}; runs are told it instead]\nThey spoke of a blue door.`)
  expect(below).toContain('and then?')
  expect((await platform.k8sclaw('sessions', 'rebuild')).code).toBe(0)
  expect(await shown()).toBe(before)

  const usage = async () =>
    (await platform.k8sclaw('usage', '-o', 'wide')).stdout.trim().split('\n').at(-1)?.trim().split(/\s+/) ?? []
  await expect.poll(async () => (await usage())[4], { timeout: 60_000 }).toBe('5')
  // None failed, and none is unmetered.
  expect((await usage()).slice(-2)).toEqual(['0', '0'])
}, 300_000)
