import { describe, expect, it, vi } from 'vitest'
import { recordedRuns } from '#core/bus'
import { readRun } from '#core/journal'
import {
  type AgentRun,
  agentRuns,
  type ClawInstance,
  type ClawPolicy,
  clawInstances,
  clawPolicies,
  isTerminal,
  type KubeObject,
  type SkillPack,
  skillPacks,
} from '#core/kinds'
import { type ConfigMap, configMaps, jobs, namespaces, type Pod, pods, roleBindings, serviceAccounts } from '#core/kube'
import { addressOfRun } from './resources/job.ts'
import {
  admin,
  bridgeEnds,
  bus,
  createInstance,
  createRun,
  forgetWrites,
  kubelet,
  namespace,
  read,
  startManager,
  startPod,
  stopManager,
  until,
  untilJob,
  useController,
  wait,
  writes,
} from './testing/rig.test-support.ts'

useController()

describe('a run', () => {
  it('goes from task to result, in at most eight writes', async () => {
    const instance = await createInstance()
    await vi.waitFor(async () => {
      expect((await admin.get<ClawInstance>(clawInstances, instance.metadata)).status?.phase).toBe('Ready')
    }, wait)
    forgetWrites()
    const run = await createRun('one', { task: 'Count to three.' })
    const pod = await startPod(run)
    const record = await readRun(bus, addressOfRun(run), AbortSignal.timeout(5000))
    expect(record.inbox).toMatchObject([
      { type: 'task', task: { task: 'Count to three.', systemPrompt: 'Be brief.', tools: [], history: [] } },
    ])
    await bridgeEnds(run)
    const done = await until(run, { phase: 'Succeeded', reason: 'Completed', result: 'done' })
    expect(done.status?.usage).toEqual({ inputTokens: 3, outputTokens: 4, modelCalls: 1, toolCalls: 0 })
    await kubelet.ended(pod, 0)
    await vi.waitFor(async () => {
      expect((await admin.get<ClawInstance>(clawInstances, instance.metadata)).status?.activeRuns).toBe(0)
    }, wait)
    expect(writes.length, writes.join(', ')).toBeLessThanOrEqual(8)
    expect(writes.filter((w) => w.endsWith('AgentRun'))).toHaveLength(3)
  })

  it('waits for what does not exist yet, in any order, and then starts', async () => {
    const run = await createRun('early')
    await until(run, { phase: 'Pending', reason: 'InstanceMissing' })
    await createInstance({ skills: [{ skillPackRef: { name: 'pack' } }] })
    await until(run, { phase: 'Pending', reason: 'SkillPackMissing' })
    await createPack('pack', 'Look.')
    const started = await until(run, { phase: 'Running' })
    expect(started.status?.effective?.skills).toMatchObject([{ name: 'look', key: 'look.md' }])
  })

  it('is refused when it can never start as written', async () => {
    await createInstance()
    const run = await createRun('nobody', { agent: 'nobody' })
    const { status } = await until(run, { phase: 'Failed', reason: 'UnknownAgent' })
    expect(status?.error).toContain('no agent nobody')
    const { outcome } = await readRun(bus, addressOfRun(run), AbortSignal.timeout(5000))
    expect(outcome).toMatchObject({ phase: 'Failed', writer: 'controller' })
  })

  it.each([
    [0, {}, 'NoResult'],
    [3, {}, 'AgentFailed'],
    [137, {}, 'AgentDied'],
    [137, { reason: 'OOMKilled' }, 'OOMKilled'],
  ])('ends by the state of its container: exit %i %j is %s', async (exitCode, more, reason) => {
    await createInstance()
    const run = await createRun('dies')
    const pod = await startPod(run)
    await kubelet.ended(pod, exitCode, more)
    await until(run, { phase: 'Failed', reason, exitCode })
  })

  it('is PodLost when its pod or its Job is deleted under it', async () => {
    await createInstance()
    const [first, second] = [await createRun('first'), await createRun('second')]
    const pod = await startPod(first)
    await admin.delete(pods, pod.metadata, { gracePeriodSeconds: 0 })
    await until(first, { phase: 'Failed', reason: 'PodLost' })
    await startPod(second)
    await admin.delete(jobs, (await untilJob(second)).metadata)
    for (const { metadata } of (await admin.list(pods, { namespace })).items) {
      await admin.delete(pods, metadata, { gracePeriodSeconds: 0 }).catch(() => {})
    }
    await until(second, { phase: 'Failed', reason: 'PodLost' })
  })

  it('does not listen to pods that others labelled with its uid', async () => {
    await createInstance()
    const run = await createRun('mine')
    const job = await untilJob(run)
    const other = `${namespace}-other`
    await admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: other } })
    await admin.create(serviceAccounts, {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'k8sclaw-run', namespace: other },
    })
    const template = job.spec?.template as { metadata: Pod['metadata']; spec: NonNullable<Pod['spec']> }
    for (const elsewhere of [namespace, other]) {
      const metadata = { ...template.metadata, name: 'forged', namespace: elsewhere }
      const forged = await admin.create<Pod>(pods, { apiVersion: 'v1', kind: 'Pod', metadata, spec: template.spec })
      await kubelet.ended(forged, 1)
    }
    const pod = await startPod(run)
    expect((await read(run)).status).toMatchObject({ phase: 'Running', podName: pod.metadata.name })
  })

  it('is bound by the default policy of its namespace', async () => {
    const policy = await admin.create<ClawPolicy>(clawPolicies, {
      apiVersion: 'k8sclaw.io/v1alpha1',
      kind: 'ClawPolicy',
      metadata: { name: 'default-policy', namespace },
      spec: { toolGating: { defaultAction: 'allow', rules: [] }, featureGates: { 'code-execution': true } },
    })
    await vi.waitFor(async () => {
      const { status } = await admin.get<ClawPolicy>(clawPolicies, policy.metadata)
      expect(status).toMatchObject({
        observedGeneration: 1,
        conditions: [
          { type: 'Accepted', status: 'True' },
          { type: 'InForce', status: 'True' },
        ],
      })
    }, wait)
    await createInstance()
    const { status } = await until(await createRun('bound'), { phase: 'Running' })
    expect(status?.effective).toMatchObject({
      policy: { name: 'default-policy', generation: 1 },
      featureGates: { 'code-execution': true },
    })
  })

  it('keeps the phase of its outcome whatever happens to the pod afterwards', async () => {
    await createInstance()
    const run = await createRun('final')
    const pod = await startPod(run)
    await bridgeEnds(run)
    await until(run, { phase: 'Succeeded' })
    await kubelet.ended(pod, 137)
    await admin.delete(jobs, (await untilJob(run)).metadata)
    const probe = await createRun('probe')
    await until(probe, { phase: 'Running' })
    expect((await read(run)).status).toMatchObject({ phase: 'Succeeded', reason: 'Completed' })
  })

  it('is deleted at its TTL, with everything that is recorded of it', async () => {
    await createInstance()
    const run = await createRun('brief', { ttlSecondsAfterFinished: 0 })
    await startPod(run)
    await bridgeEnds(run)
    await vi.waitFor(async () => expect(await admin.find(agentRuns, run.metadata)).toBeUndefined(), wait)
    await vi.waitFor(async () => expect(await uidsRecorded()).not.toContain(run.metadata.uid), wait)
  })
})

async function uidsRecorded(): Promise<string[]> {
  return (await recordedRuns(bus)).map((run) => run.uid)
}

describe('a cancel', () => {
  it('ends a Pending run at once', async () => {
    const run = await createRun('waiting')
    await until(run, { phase: 'Pending' })
    await admin.patch(agentRuns, run.metadata, { spec: { cancel: true } })
    await until(run, { phase: 'Cancelled', reason: 'Cancelled' })
  })

  it('reaches the bridge of a run that runs, once', async () => {
    await createInstance()
    const run = await createRun('busy')
    await startPod(run)
    await admin.patch(agentRuns, run.metadata, { spec: { cancel: true } })
    await vi.waitFor(async () => {
      const { inbox } = await readRun(bus, addressOfRun(run), AbortSignal.timeout(5000))
      expect(inbox.map((message) => message.type)).toEqual(['task', 'cancel'])
    }, wait)
    await bridgeEnds(run, { phase: 'Cancelled', reason: 'Cancelled' })
    await until(run, { phase: 'Cancelled' })
  })

  it('ends a run whose pod has not started', async () => {
    await createInstance()
    const run = await createRun('stuck')
    await kubelet.createPod(await untilJob(run))
    await admin.patch(agentRuns, run.metadata, { spec: { cancel: true } })
    await until(run, { phase: 'Cancelled' })
  })
})

describe('many runs', () => {
  it('never have more than maxConcurrentRuns Running, and all have their turn', async () => {
    await createInstance({ maxConcurrentRuns: 3 })
    const names = Array.from({ length: 9 }, (_, i) => `run-${i}`)
    const watching = new AbortController()
    let most = 0
    const running = new Set<string>()
    const watcher = (async () => {
      for await (const event of admin.watch<AgentRun>(agentRuns, { namespace, signal: watching.signal })) {
        if (event.type === 'BOOKMARK') continue
        if (event.object.status?.phase === 'Running') running.add(event.object.metadata.name)
        else running.delete(event.object.metadata.name)
        most = Math.max(most, running.size)
      }
    })()
    const runs = await Promise.all(names.map((name) => createRun(name)))
    const finished = new Set<string>()
    while (finished.size < runs.length) {
      for (const run of runs) {
        if (finished.has(run.metadata.name) || (await read(run)).status?.phase !== 'Running') continue
        await bridgeEnds(run)
        finished.add(run.metadata.name)
      }
    }
    for (const run of runs) await until(run, { phase: 'Succeeded' })
    watching.abort()
    await watcher
    expect(most).toBe(3)
  })

  it('of one session run one after the other', async () => {
    await createInstance({ maxConcurrentRuns: 5 })
    const first = await createRun('a-first', { sessionKey: 's' })
    await until(first, { phase: 'Running' })
    const second = await createRun('b-second', { sessionKey: 's' })
    await until(second, { phase: 'Pending', reason: 'SessionBusy' })
    await until(await createRun('c-other', { sessionKey: 't' }), { phase: 'Running' })
    await bridgeEnds(first)
    await until(second, { phase: 'Running' })
  })
})

describe('a controller that was away', () => {
  it('takes up every run where it stands', async () => {
    await createInstance({ maxConcurrentRuns: 9 })
    const waiting = await createRun('waiting', { instanceRef: { name: 'absent' } })
    await until(waiting, { phase: 'Pending' })
    const [jobless, finished, died, cancelled] = await Promise.all(
      ['jobless', 'finished', 'died', 'cancelled'].map((name) => createRun(name)),
    )
    if (!jobless || !finished || !died || !cancelled) throw new Error('four runs expected')
    await untilJob(jobless)
    await startPod(finished)
    const pod = await startPod(died)
    await startPod(cancelled)
    await stopManager()

    const late = await createRun('late')
    await admin.delete(jobs, (await untilJob(jobless)).metadata)
    await bridgeEnds(finished)
    await kubelet.ended(pod, 1)
    await admin.patch(agentRuns, cancelled.metadata, { spec: { cancel: true } })
    await startManager()

    await until(late, { phase: 'Running' })
    await untilJob(jobless)
    await until(finished, { phase: 'Succeeded' })
    await until(died, { phase: 'Failed', reason: 'AgentFailed' })
    await until(waiting, { phase: 'Pending', reason: 'InstanceMissing' })
    await vi.waitFor(async () => {
      const { inbox } = await readRun(bus, addressOfRun(cancelled), AbortSignal.timeout(5000))
      expect(inbox.map((message) => message.type)).toEqual(['task', 'cancel'])
    }, wait)
  })

  it('forgets runs that were deleted meanwhile', async () => {
    await createInstance()
    const run = await createRun('gone')
    await untilJob(run)
    await stopManager()
    await admin.delete(agentRuns, run.metadata)
    expect(await uidsRecorded()).toContain(run.metadata.uid)
    await startManager()
    await vi.waitFor(async () => expect(await uidsRecorded()).not.toContain(run.metadata.uid), wait)
    expect(isTerminal(run.status?.phase)).toBe(false)
  })
})

describe('a ClawInstance', () => {
  it('gives its namespace the run account and the gateway its right to read Secrets', async () => {
    const first = await createInstance()
    const second = await createInstance({}, 'other')
    await vi.waitFor(async () => {
      const account = await admin.get(serviceAccounts, { name: 'k8sclaw-run', namespace })
      const binding = await admin.get(roleBindings, { name: 'k8sclaw-gateway', namespace })
      for (const { metadata } of [account, binding]) {
        const owners = metadata.ownerReferences?.map((reference) => reference.uid)
        expect(owners?.toSorted()).toEqual([first.metadata.uid, second.metadata.uid].toSorted())
      }
    }, wait)
    const user = 'system:serviceaccount:k8sclaw-system:k8sclaw-gateway'
    const question = { user, verb: 'get', name: 'key', namespace, resource: secretsResource }
    expect(await admin.subjectAccessReview(question)).toBe(true)
    expect(await admin.subjectAccessReview({ ...question, verb: 'list' })).toBe(false)
    expect(await admin.subjectAccessReview({ ...question, namespace: 'default' })).toBe(false)
  })

  it('puts a binding right that somebody deleted', async () => {
    await createInstance()
    const at = { name: 'k8sclaw-gateway', namespace }
    await vi.waitFor(async () => await admin.get(roleBindings, at), wait)
    await admin.delete(roleBindings, at)
    await vi.waitFor(async () => await admin.get(roleBindings, at), wait)
  })

  it('says so, and leaves it alone, when a foreign object bears the name', async () => {
    const foreign: KubeObject = {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'k8sclaw-run', namespace, labels: { mine: 'yes' } },
    }
    await admin.create(serviceAccounts, foreign)
    const instance = await createInstance()
    await vi.waitFor(async () => {
      const { status } = await admin.get<ClawInstance>(clawInstances, instance.metadata)
      expect(status).toMatchObject({ phase: 'Error' })
      expect(status?.conditions).toContainEqual(expect.objectContaining({ type: 'Ready', reason: 'NotOurs' }))
    }, wait)
    const left = await admin.get(serviceAccounts, foreign.metadata)
    expect(left.metadata.labels).toEqual({ mine: 'yes' })
    expect(left.metadata.ownerReferences).toBeUndefined()
  })
})

const secretsResource = { group: '', version: 'v1', kind: 'Secret', plural: 'secrets', namespaced: true }

async function createPack(name: string, content: string): Promise<SkillPack> {
  return await admin.create<SkillPack>(skillPacks, {
    apiVersion: 'k8sclaw.io/v1alpha1',
    kind: 'SkillPack',
    metadata: { name, namespace },
    spec: { skills: [{ name: 'look', description: 'How to look.', content }] },
  })
}

describe('a SkillPack', () => {
  it('is published under the hash of its content, and again when it changes', async () => {
    const pack = await createPack('pack', 'Look.')
    const published = async (text: string) => {
      const { status } = await admin.get<SkillPack>(skillPacks, pack.metadata)
      expect(status).toMatchObject({ phase: 'Ready', skillCount: 1 })
      const map = await admin.get<ConfigMap>(configMaps, { name: status?.configMapName ?? '', namespace })
      expect(map.data).toEqual({ 'look.md': text })
      return map.metadata.name
    }
    const before = await vi.waitFor(async () => await published('Look.'), wait)
    const skills = [{ name: 'look', description: 'How to look.', content: 'Look twice.' }]
    await admin.patch(skillPacks, pack.metadata, { spec: { skills } })
    const after = await vi.waitFor(async () => await published('Look twice.'), wait)
    expect(after).not.toBe(before)
  })
})
