import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import type { AgentRun } from '#core/kinds'
import { kubectl as findKubectl } from '../build/kubectl.ts'
import { type Footprint, footprint } from './support/footprint.ts'
import { allowAll, demoScript, instance, run } from './support/objects.ts'
import { startTestPlatform, type TestPlatform } from './support/platform.ts'
import { type PodObject, platformReady, podFolder } from './support/pods.ts'

/** A run of this script is held inside its sandbox until the test puts a file named `go` there. */
const script = stringify({
  steps: [
    {
      when: { turns: 0, user: '*wait*' },
      reply: { toolCalls: [{ name: 'exec', arguments: { script: 'until [ -e go ]; do sleep 0.3; done; echo held' } }] },
    },
    { reply: { text: 'Done.' } },
  ],
})
const maxConcurrentRuns = 20
const names = Array.from({ length: maxConcurrentRuns }, (_, i) => `run-${String(i).padStart(2, '0')}`)

let platform: TestPlatform
let record: WatchRecord
beforeAll(async () => {
  platform = await startTestPlatform()
  const { secret, authRefs } = demoScript('held', script)
  const timeout = '150s'
  await platform.apply(
    allowAll(),
    secret,
    instance('many', { timeout }, { authRefs, maxConcurrentRuns }),
    instance('session', { timeout }, { authRefs }),
  )
  record = watchRuns()
})
afterAll(async () => {
  record?.stop()
  await platform?.close()
})

describe('twenty runs at once', () => {
  let before: Footprint
  test('are Running at one instant, and a twenty-first waits as Queued', async () => {
    // The database follows the platform; until it is there, nothing reads the record for it.
    await platformReady(platform)
    const keepers = async () =>
      (await footprint(platform)).consumers.filter((name) => /^(RUNS|USAGE)\/reader-/.test(name))
    await expect.poll(keepers, { timeout: 60_000, interval: 500 }).toHaveLength(2)
    before = await footprint(platform)
    await platform.apply(...names.map((name) => run(name, 'many', { task: 'wait' })))
    await expect.poll(() => record.running('many').size, { timeout: 100_000 }).toBe(maxConcurrentRuns)
    // Not only counted as Running: each of their agents has started.
    const started = async () => (await allRuns()).filter(hasStarted).length
    await expect.poll(started, { timeout: 100_000, interval: 500 }).toBe(maxConcurrentRuns)
    await platform.apply(run('run-20', 'many', { task: 'be quick' }))
    await until('run-20', (one) => one.status?.phase === 'Pending' && one.status.reason === 'Queued')
    const items = await allRuns()
    expect(items.filter((one) => one.status?.phase === 'Running').map((one) => one.metadata.name)).toEqual(names)
    const { status } = items.find((one) => one.metadata.name === 'run-20') ?? {}
    expect(status?.conditions).toContainEqual(
      expect.objectContaining({
        type: 'Started',
        status: 'False',
        message: expect.stringContaining('20 runs of the instance are Running'),
      }),
    )
    const { status: owner } = await platform.getJson<{ status: { activeRuns: number } }>('get', 'ci', 'many')
    expect(owner.activeRuns).toBe(maxConcurrentRuns)
  })

  test('finish, and the one that waited runs', async () => {
    for (const name of names) await release(name)
    await platform.kubectl([
      ...['wait', 'agentruns', ...names, 'run-20', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=120s'],
    ])
    expect(record.most('many')).toBe(maxConcurrentRuns)
    expect(record.phases('run-20')).toEqual(['Pending', 'Running', 'Succeeded'])
  })

  test('leave nothing once they are deleted: no process, socket, pod folder, consumer or record', async () => {
    await platform.kubectl(['delete', 'agentruns', ...names, 'run-20'])
    await expect.poll(() => footprint(platform), { timeout: 60_000, interval: 500 }).toEqual(before)
  })
})

describe('runs of one session', () => {
  // Created within one second, with names whose order is the other way round.
  test('run one after the other in the order of their creation', async () => {
    const session = { sessionKey: 'talk' }
    await platform.apply(run('first', 'session', { task: 'wait', ...session }))
    await until('first', (one) => one.status?.phase === 'Running')
    await platform.apply(
      run('b-second', 'session', { task: 'wait', ...session }),
      run('a-third', 'session', { task: 'be quick', ...session }),
      run('alone', 'session', { task: 'be quick' }),
    )
    await until('alone', (one) => one.status?.phase === 'Succeeded')
    for (const name of ['b-second', 'a-third']) {
      await until(name, (one) => one.status?.phase === 'Pending' && one.status.reason === 'SessionBusy')
    }
    await release('first')
    await until('b-second', (one) => one.status?.phase === 'Running')
    expect((await runOf('first')).status?.phase).toBe('Succeeded')
    expect((await runOf('a-third')).status?.phase).toBe('Pending')
    await release('b-second')
    await until('a-third', (one) => one.status?.phase === 'Succeeded')
    expect(record.most('session', ['first', 'b-second', 'a-third'])).toBe(1)
  })
})

function runOf(name: string): Promise<AgentRun> {
  return platform.getJson<AgentRun>('get', 'agentrun', name)
}

async function allRuns(): Promise<AgentRun[]> {
  return (await platform.getJson<{ items: AgentRun[] }>('get', 'agentruns')).items
}

function hasStarted(one: AgentRun): boolean {
  return one.status?.conditions?.some((c) => c.type === 'Started' && c.status === 'True') ?? false
}

async function until(name: string, holds: (run: AgentRun) => boolean): Promise<void> {
  await expect.poll(() => runOf(name), { timeout: 60_000, interval: 200 }).toSatisfy(holds)
}

/** Lets a held run go on; its workspace is there once its pod is. */
async function release(name: string): Promise<void> {
  const { status } = await runOf(name)
  const { items } = await platform.getJson<{ items: PodObject[] }>('get', 'pods', '-l', `job-name=${status?.jobName}`)
  const [pod] = items
  if (!pod) throw new Error(`${name} has no pod`)
  const workspace = join(podFolder(platform, pod), 'v', 'workspace')
  await expect.poll(() => existsSync(workspace), { timeout: 30_000 }).toBe(true)
  writeFileSync(join(workspace, 'go'), '')
}

interface Change {
  name: string
  instance: string
  phase: string
}

interface WatchRecord {
  changes: Change[]
  /** Names of the runs of the instance that are Running by the newest change. */
  running(instance: string): Set<string>
  /** How many of them were Running at once, at most. */
  most(instance: string, among?: string[]): number
  /** The phases of a run in their order. */
  phases(name: string): string[]
  stop(): void
}

/** Every change of every run, as `kubectl get --watch` tells them. */
function watchRuns(): WatchRecord {
  const path = '{.metadata.name} {.spec.instanceRef.name} {.status.phase}{"\\n"}'
  const watching: ChildProcess = spawn(findKubectl(), ['get', 'agentruns', '--watch', '-o', `jsonpath=${path}`], {
    env: platform.env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const changes: Change[] = []
  let text = ''
  watching.stdout?.on('data', (chunk) => {
    text += String(chunk)
    const lines = text.split('\n')
    text = lines.pop() ?? ''
    for (const line of lines) {
      const [name = '', of = '', phase = ''] = line.split(' ')
      changes.push({ name, instance: of, phase })
    }
  })
  const replay = (of: string, among: string[] | undefined, see: (running: Set<string>) => void) => {
    const running = new Set<string>()
    for (const { name, instance: owner, phase } of changes) {
      if (owner !== of || (among && !among.includes(name))) continue
      if (phase === 'Running') running.add(name)
      else running.delete(name)
      see(running)
    }
    return running
  }
  return {
    changes,
    running: (of) => replay(of, undefined, () => {}),
    most(of, among) {
      let most = 0
      replay(of, among, (running) => {
        most = Math.max(most, running.size)
      })
      return most
    },
    phases(name) {
      const all = changes.filter((change) => change.name === name && change.phase).map((change) => change.phase)
      return all.filter((phase, i) => phase !== all[i - 1])
    },
    stop: () => void watching.kill(),
  }
}
