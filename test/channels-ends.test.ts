/**
 * What people are told where there is no answer, or none yet: at all four services at once, in the words that each of them
 * shows, by a whole platform in which a run does wait, take too long, end with nothing, not start, or be refused.
 */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { stringify } from 'yaml'
import type { AgentRun, ClawInstance } from '#core/kinds'
import { type ChatPlatform, startChatPlatform } from './support/chat-platform.ts'
import { type Drilled, type ServiceName, services } from './support/drilled.ts'
import { run } from './support/objects.ts'

const words = Array.from({ length: 1_000 }, (_, at) => `word${at}`).join(' ')
const steps = [
  { when: { user: '*slowly*' }, reply: { text: words, delayMs: 300 } },
  { reply: { text: 'You wrote: {{user}}' } },
]
const patient = { timeout: 120_000, interval: 250 }
const long = { timeout: 280_000 }
const names = Object.keys(services) as ServiceName[]

let platform: ChatPlatform
const bots: { name: ServiceName; service: Drilled }[] = []

beforeAll(async () => {
  for (const name of names) bots.push({ name, service: await services[name](1) })
  const chats = bots.map(({ name, service }) => ({ name, type: name, secret: service.secret }))
  platform = await startChatPlatform(steps, chats)
  for (const { name, service } of bots) await service.callAt?.(await platform.webhook(name))
}, 300_000)
afterAll(async () => {
  await platform?.close()
  for (const { service } of bots) await service.close()
})

const helper = () => platform.getJson<ClawInstance>('get', 'clawinstance', 'helper')
const patch = (what: string[], change: object) =>
  platform.kubectl(['patch', ...what, '--type=merge', '-p', JSON.stringify(change)])
/** Changes the instance, and waits until the controller has seen it. */
async function change(spec: object): Promise<void> {
  await patch(['clawinstance', 'helper'], { spec })
  await vi.waitFor(async () => {
    const { metadata, status } = await helper()
    expect(status).toMatchObject({ phase: 'Ready', observedGeneration: metadata.generation })
  }, patient)
}
/** Has the policy allow these models, or all, and waits until admission goes by that. */
async function allowModels(allowed: string[] | null): Promise<void> {
  await patch(['clawpolicy', 'default-policy'], { spec: { modelPolicy: allowed && { allowed } } })
  const one = stringify(run('tried', 'helper'))
  await vi.waitFor(async () => {
    const { code, stderr } = await platform.tryKubectl(['create', '--dry-run=server', '-f', '-'], one)
    expect(code, stderr).toBe(allowed ? 1 : 0)
  }, patient)
}
const runs = async () => (await platform.getJson<{ items: AgentRun[] }>('get', 'agentruns')).items
const phaseOf = async (name: string) => (await runs()).find(({ metadata }) => metadata.name === name)?.status?.phase

/** At each service the person writes; what the bot says from then on. */
function everybodySays(text: string): () => Record<ServiceName, string[]> {
  const before = bots.map(({ service }) => service.said(0).length)
  for (const { service } of bots) service.say(0, text)
  return () =>
    Object.fromEntries(bots.map(({ name, service }, at) => [name, service.said(0).slice(before[at])])) as Record<
      ServiceName,
      string[]
    >
}
const atEach = <T>(value: (name: ServiceName) => T) => Object.fromEntries(names.map((name) => [name, value(name)]))

/** Everybody is told one thing, with the name of a run of their own; gives these names. */
async function told(said: () => Record<ServiceName, string[]>, words: RegExp): Promise<Record<string, string>> {
  const matching = () => atEach((name) => said()[name].filter((text) => words.test(text)).length)
  await expect.poll(matching, patient).toEqual(atEach(() => 1))
  return atEach(
    (name) =>
      said()
        [name].map((text) => words.exec(text)?.[1] ?? '')
        .find(Boolean) ?? '',
  )
}
async function ownRuns(): Promise<Record<string, string[]>> {
  const all = await runs()
  return atEach((name) =>
    all.filter(({ spec }) => spec.origin?.detail?.startsWith(`${name}/`)).map(({ metadata }) => metadata.name),
  )
}
async function expectOwn(found: Record<string, string>): Promise<void> {
  const own = await ownRuns()
  for (const [name, one] of Object.entries(found)) expect(own[name], name).toContain(one)
}
const answered = (said: () => Record<ServiceName, string[]>, text: string) =>
  expect.poll(() => atEach((name) => said()[name].at(-1)), patient).toEqual(atEach(() => expect.stringContaining(text)))

test('that other work is ahead, and then the answer', long, async () => {
  await change({ maxConcurrentRuns: 1 })
  await platform.apply(run('ahead', 'helper', { task: 'slowly' }))
  await expect.poll(() => phaseOf('ahead'), patient).toBe('Running')
  const said = everybodySays('first')
  await expectOwn(
    await told(said, /^This has to wait: other work is ahead of it\. It begins by itself, as run (\S+)\.$/),
  )
  await patch(['agentrun', 'ahead'], { spec: { cancel: true } })
  await answered(said, 'You wrote: first')
  await change({ maxConcurrentRuns: 10 })
})

test('that an earlier run of the same conversation is not done, and then the answer', long, async () => {
  const earlier = bots.map(({ name, service }) => {
    const sessionKey = [name, service.chat(0)].map(encodeURIComponent).join('/')
    return run(`earlier-${name}`, 'helper', { task: 'slowly', sessionKey })
  })
  await platform.apply(...earlier)
  const phases = async () => await Promise.all(names.map((name) => phaseOf(`earlier-${name}`)))
  await expect.poll(phases, patient).toEqual(names.map(() => 'Running'))
  const said = everybodySays('second')
  const waits =
    /^This has to wait: an earlier one of this conversation is not done\. It begins by itself, as run (\S+)\.$/
  await expectOwn(await told(said, waits))
  for (const name of names) await patch(['agentrun', `earlier-${name}`], { spec: { cancel: true } })
  await answered(said, 'You wrote: second')
})

test('that the time of a run was over', long, async () => {
  await change({ agents: { default: { timeout: '5s' } } })
  const said = everybodySays('slowly')
  await expectOwn(await told(said, /^Sorry, run (\S+) took too long: its time was over\.$/))
  await change({ agents: { default: { timeout: '170s' } } })
})

test('that the agent ended without an answer', long, async () => {
  await change({ agents: { default: { image: 'k8sclaw.io/host', command: ['/bin/true'] } } })
  const said = everybodySays('third')
  await expectOwn(await told(said, /^Sorry, run (\S+) failed: the agent ended without an answer\.$/))
  await change({ agents: { default: { image: null, command: null } } })
})

test('that the rules refuse a run', long, async () => {
  await allowModels(['other/*'])
  const said = everybodySays('fourth')
  const refused =
    /^Sorry, I may not begin with this: the rules here refuse run (\S+)\. Whoever keeps me finds the reason in the log\.$/
  const found = await told(said, refused)
  for (const [name, one] of Object.entries(found)) expect(one).toMatch(new RegExp(`^helper-${name}-`))
  await allowModels(null)
})

test('that a run could not be started in time', long, async () => {
  const name = 'K8SCLAW_START_DEADLINE_SECONDS'
  const controller = ['-n', 'k8sclaw-system', 'deployment/k8sclaw-controller']
  await platform.kubectl(['set', 'env', ...controller, `${name}=5`])
  await platform.kubectl(['rollout', 'status', ...controller, '--timeout=120s'])
  await change({ agents: { default: { image: 'example.org/nowhere:1' } } })
  const said = everybodySays('fifth')
  await expectOwn(await told(said, /^Sorry, run (\S+) failed: it could not be started in time\.$/))
})
