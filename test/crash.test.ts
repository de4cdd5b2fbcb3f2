import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type AgentRun, isTerminal } from '#core/kinds'
import { startTestPlatform, type TestPlatform } from './support/platform.ts'
import { type PodObject, pidOf, platformPod, platformReady, podFolder } from './support/pods.ts'
import { type StreamEvent, streamOf } from './support/stream.ts'

/*
 * Every program of the chain is killed with -9 at three moments of a run. Whatever happens then: the run reaches a
 * terminal phase before its timeout, its record holds exactly one outcome, a command that appends a line has run once
 * or is reported in doubt, and a client that resumes its stream by cursor sees the outcome once.
 */

const script = `
steps:
  - when: { turns: 0 }
    reply:
      text: I append a line.
      toolCalls: [{ name: exec, arguments: { script: 'echo x >> marks; sleep 1.5' } }]
  - reply: { text: 'It is done: {{result}}', delayMs: 20 }
`

let platform: TestPlatform
beforeAll(async () => {
  platform = await startTestPlatform()
  await platform.apply(
    {
      apiVersion: 'k8sclaw.io/v1alpha1',
      kind: 'ClawPolicy',
      metadata: { name: 'default-policy', namespace: 'default' },
      spec: { toolGating: { defaultAction: 'allow' }, featureGates: { 'code-execution': true, 'file-access': true } },
    },
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'script', namespace: 'default' }, stringData: { script } },
    {
      apiVersion: 'k8sclaw.io/v1alpha1',
      kind: 'ClawInstance',
      metadata: { name: 'crash', namespace: 'default' },
      spec: {
        agents: { default: { model: { provider: 'demo', name: 'demo' }, timeout: '60s', sandbox: { enabled: true } } },
        authRefs: [{ provider: 'demo', secretRef: { name: 'script' } }],
      },
    },
  )
})
afterAll(async () => platform?.close())

const moments = ['before the first model call', 'during an exec', 'after result.json'] as const
type Moment = (typeof moments)[number]
const victims = ['controller', 'webhook', 'apiserver', 'gateway', 'nats', 'bridge', 'agent'] as const
type Victim = (typeof victims)[number]

describe.each(victims)('the %s killed', (victim) => {
  test.each(moments)('%s', async (moment) => {
    const name = `${victim}-${moments.indexOf(moment)}`
    await platformReady(platform)
    await platform.apply({
      apiVersion: 'k8sclaw.io/v1alpha1',
      kind: 'AgentRun',
      metadata: { name, namespace: 'default' },
      spec: { instanceRef: { name: 'crash' }, task: 'append a line' },
    })
    const seen: StreamEvent[] = []
    const stream = streamOf(platform, 'default', name, (event) => seen.push(event))
    const pod = await runPod(name)
    await reached(moment, name, pod, seen)
    await kill(victim, pod)

    const run = await expect
      .poll(() => platform.getJson<AgentRun>('get', 'agentrun', name), { timeout: 90_000, interval: 250 })
      .toSatisfy((r: AgentRun) => isTerminal(r.status?.phase))
      .then(() => platform.getJson<AgentRun>('get', 'agentrun', name))
    await stream.done
    expect(seen.filter((e) => e.type === 'outcome')).toHaveLength(1)
    expect(new Set(seen.map((e) => e.id)).size, 'no event twice').toBe(seen.length)
    expect(seen.at(-1)?.data).toMatchObject({ phase: run.status?.phase })

    const marks = linesOf(join(podFolder(platform, pod), 'v', 'workspace', 'marks'))
    const inDoubt = seen.some((e) => JSON.stringify(e.data).includes('in_doubt'))
    expect(marks <= 1 || inDoubt, `${marks} lines, in doubt: ${inDoubt}`).toBe(true)
    if (victim === 'agent' && moment !== 'after result.json') {
      expect(run.status).toMatchObject({ phase: 'Failed', reason: 'AgentDied' })
    } else if (run.status?.phase === 'Succeeded') {
      expect(marks === 1 || inDoubt).toBe(true)
    }
  })
})

async function runPod(run: string): Promise<PodObject> {
  const running = async () => {
    const { status } = await platform.getJson<AgentRun>('get', 'agentrun', run)
    if (!status?.jobName) return undefined
    const { items } = await platform.getJson<{ items: PodObject[] }>('get', 'pods', '-l', `job-name=${status.jobName}`)
    return items[0]
  }
  for (;;) {
    const pod = await running()
    if (pod && pidOf(platform, pod, 'bridge') && pidOf(platform, pod, 'agent')) return pod
    await delay(20)
  }
}

async function reached(moment: Moment, run: string, pod: PodObject, seen: StreamEvent[]): Promise<void> {
  switch (moment) {
    case 'before the first model call':
      return
    case 'during an exec':
      await expect
        .poll(() => seen.some((e) => e.type === 'called' && JSON.stringify(e.data).includes('"exec"')), {
          timeout: 30_000,
          interval: 10,
        })
        .toBe(true)
      return
    case 'after result.json': {
      const file = join(podFolder(platform, pod), 'v', 'ipc', 'output', 'result.json')
      await expect.poll(() => existsSync(file), { timeout: 30_000, interval: 5 }).toBe(true)
      return
    }
  }
  throw new Error(`${run}: no such moment`)
}

async function kill(victim: Victim, pod: PodObject): Promise<void> {
  const own = victim === 'bridge' || victim === 'agent'
  const target = own ? pod : await platformPod(platform, `k8sclaw-${victim}`)
  const pid = pidOf(platform, target, victim)
  if (pid) process.kill(pid, 'SIGKILL')
  else if (!own) throw new Error(`no process of ${victim}`)
}

function linesOf(file: string): number {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').length - 1 : 0
}
