import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { type AgentRun, isTerminal } from '#core/kinds'
import { allowAll, demoScript, instance } from './support/objects.ts'
import { startTestPlatform, type TestPlatform } from './support/platform.ts'
import { pidOf, platformPod, platformReady } from './support/pods.ts'

/*
 * A hundred turns of twenty conversations go through the API server while the database, the bus and the API server itself
 * are killed with -9 at random moments. Afterwards every conversation holds every turn once and in order, as the
 * AgentRuns themselves say, and making the rows again makes the same.
 */

const conversations = 20
const turns = 5
const victims = ['database', 'nats', 'apiserver', 'database', 'nats', 'apiserver'] as const
const script = stringify({ steps: [{ reply: { text: 'I heard: {{user}}' } }] })

let platform: TestPlatform
beforeAll(async () => {
  platform = await startTestPlatform()
  const { secret, authRefs } = demoScript('echo', script)
  const agent = { model: { provider: 'demo', name: 'demo' }, timeout: '300s' }
  const { spec: _, ...bare } = instance('talk') as { spec: object }
  await platform.apply(allowAll(), secret, {
    ...bare,
    spec: { agents: { default: agent }, authRefs, maxConcurrentRuns: 8 },
  })
  await platformReady(platform)
})
afterAll(async () => platform?.close())

interface Transcript {
  messages: { role: string; content: string }[]
}

test('every message is there once and in order, whatever was killed under a hundred chats', async () => {
  const over = new AbortController()
  const killed: string[] = []
  const killing = killAtRandom(over.signal, killed)
  const talks = await Promise.all(Array.from({ length: conversations }, (_, i) => talk(`talk-${i}`)))
  over.abort()
  await killing
  expect(killed.length, 'the chats went on while programs were killed').toBeGreaterThanOrEqual(4)
  await platformReady(platform)

  const said = new Map(talks.map(({ key, runs }) => [key, runs.flatMap(messagesOf)]))
  expect([...said.values()].flat()).toHaveLength(2 * conversations * turns)
  await expect.poll(() => transcripts(), { timeout: 180_000, interval: 1_000 }).toEqual(said)

  const again = await platform.k8sclaw('sessions', 'rebuild')
  expect(again).toMatchObject({ code: 0, stderr: '' })
  expect(await transcripts()).toEqual(said)
  const aside = await platform.k8sclaw('sessions', 'set-aside')
  expect(aside).toMatchObject({ code: 0, stdout: 'Nothing was set aside.\n' })
}, 600_000)

test('a conversation that is deleted is gone with its runs, and a fork of it stays', async () => {
  const forked = await platform.k8sclaw('sessions', 'fork', 'talk-0', 'fork')
  expect(forked).toMatchObject({ code: 0, stderr: '' })
  const copied = await platform.k8sclaw('sessions', 'export', 'fork')
  expect(copied.stdout.trim().split('\n')).toHaveLength(2 * turns)
  expect(await platform.k8sclaw('sessions', 'delete', 'talk-0')).toMatchObject({ code: 0, stderr: '' })
  const { items } = await platform.getJson<{ items: AgentRun[] }>('get', 'agentruns')
  expect(items.filter(({ spec }) => spec.sessionKey === 'talk-0')).toEqual([])
  expect((await platform.k8sclaw('sessions', 'show', 'talk-0')).code).not.toBe(0)
  expect((await platform.k8sclaw('sessions', 'export', 'fork')).stdout).toBe(copied.stdout)
})

/** One conversation: each turn is asked once its predecessor has ended. */
async function talk(key: string): Promise<{ key: string; runs: AgentRun[] }> {
  const runs: AgentRun[] = []
  for (let turn = 0; turn < turns; turn++) {
    const body = { instance: 'talk', task: `${key} says ${turn}`, sessionKey: key }
    const { metadata } = await persistently<AgentRun>('runs', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'Idempotency-Key': `${key}-${turn}` },
      body: JSON.stringify(body),
    })
    for (;;) {
      const run = await persistently<AgentRun>(`runs/${metadata.name}`)
      if (isTerminal(run.status?.phase)) {
        runs.push(run)
        break
      }
      await delay(500)
    }
  }
  return { key, runs }
}

/** Asks the API server until it is there to answer. */
async function persistently<T>(path: string, init: RequestInit = {}): Promise<T> {
  for (;;) {
    const response = await platform.fetch(`/api/v1/namespaces/default/${path}`, init).catch(() => undefined)
    if (response?.ok) return (await response.json()) as T
    const text = await response?.text().catch(() => '')
    if (response && response.status < 500 && response.status !== 429) throw new Error(`${response.status}: ${text}`)
    await delay(250)
  }
}

/** What a run says of itself, as the transcript tells it. */
function messagesOf({ spec, status }: AgentRun) {
  const answer = status?.result ?? `(no answer: ${status?.phase}, ${status?.reason})`
  return [
    { role: 'user', content: spec.task },
    { role: 'assistant', content: answer },
  ]
}

async function transcripts(): Promise<Map<string, Transcript['messages']>> {
  const { items } = await persistently<{ items: { id: string; key: string }[] }>('sessions?limit=500')
  const all = new Map<string, Transcript['messages']>()
  for (let i = 0; i < conversations; i++) {
    const id = items.find(({ key }) => key === `talk-${i}`)?.id
    if (!id) continue
    const { messages } = await persistently<Transcript>(`sessions/${id}`)
    all.set(
      `talk-${i}`,
      messages.map(({ role, content }) => ({ role, content })),
    )
  }
  return all
}

async function killAtRandom(signal: AbortSignal, killed: string[]): Promise<void> {
  const order = victims.map((victim) => ({ victim, rank: Math.random() })).sort((a, b) => a.rank - b.rank)
  for (const { victim } of order) {
    await delay(1_000 + 5_000 * Math.random(), undefined, { signal }).catch(() => {})
    if (signal.aborted) return
    const pid = pidOf(platform, await platformPod(platform, `k8sclaw-${victim}`), victim)
    // It may still be down from the last time.
    if (!pid) continue
    process.kill(pid, 'SIGKILL')
    killed.push(victim)
  }
}
