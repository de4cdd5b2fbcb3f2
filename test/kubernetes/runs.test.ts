/** Runs on a real control plane, in the real programs: what the Job controller and admission there make of them. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { type AgentRun, agentRuns, type ClawInstance, type Condition, clawInstances } from '#core/kinds'
import { jobs, type Pod, pods } from '#core/kube'
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts'
import { allowAll, demoScript, instance, run } from '../support/objects.ts'
import { kubernetesAssets } from './assets.ts'

/** A model that answers after a while, or after ten minutes. */
const script = stringify({
  steps: [
    { when: { turns: 0, user: '*wait*' }, reply: { text: 'late', delayMs: 600_000 } },
    { reply: { text: 'Done.' } },
  ],
})

describe.skipIf(!kubernetesAssets()?.hasControllerManager)('runs on a real control plane', () => {
  let plane: ControlPlane

  beforeAll(async () => {
    plane = await startControlPlane()
    const { secret, authRefs } = demoScript('slow', script)
    await plane.apply(allowAll(), secret, instance('slow', {}, { authRefs, maxConcurrentRuns: 2 }))
  })
  afterAll(async () => await plane?.close())

  const at = (name: string) => ({ namespace: 'default', name })
  const phase = async (name: string) => {
    const { status } = await plane.admin.get<AgentRun>(agentRuns, at(name))
    return [status?.phase, status?.reason]
  }
  const until = async (name: string, ...expected: string[]) => {
    await expect.poll(() => phase(name), { timeout: 90_000, interval: 200 }).toEqual(expected)
  }
  const whenRunning = async (name: string) => {
    const started = async () => {
      const { status } = await plane.admin.get<AgentRun>(agentRuns, at(name))
      return status?.conditions?.find(({ type }) => type === 'Started')?.status
    }
    await expect.poll(started, { timeout: 90_000, interval: 200 }).toBe('True')
  }

  test('run the samples from creation to success, as a user applies them', async () => {
    await plane.kubectl(['apply', '-f', 'config/samples/'])
    await until('sample', 'Succeeded', 'Completed')
    const { metadata, status } = await plane.admin.get<AgentRun>(agentRuns, at('sample'))
    expect(metadata.labels).toMatchObject({ 'k8sclaw.io/instance': 'sample' })
    expect(status).toMatchObject({ usage: { modelCalls: expect.any(Number) }, podName: expect.any(String) })
  })

  test('leave what a tenant needs in its namespace, made by us and restricted', async () => {
    const { metadata } = await plane.getJson<{ metadata: { labels: object } }>('get', 'namespace', 'default')
    expect(metadata.labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': 'restricted' })
    const policy = await plane.getJson<{ spec: object }>('get', 'networkpolicy', 'k8sclaw-run')
    expect(policy.spec).toMatchObject({ policyTypes: expect.arrayContaining(['Ingress', 'Egress']) })
    const account = await plane.getJson<object>('get', 'serviceaccount', 'k8sclaw-run')
    expect(account).toMatchObject({ automountServiceAccountToken: false })
  })

  test('are cancelled while they work, and leave no pod that goes on', async () => {
    await plane.apply(run('cancelled', 'slow', { task: 'wait' }))
    await whenRunning('cancelled')
    await plane.admin.patch(agentRuns, at('cancelled'), { spec: { cancel: true } })
    await until('cancelled', 'Cancelled', 'Cancelled')
    const { metadata } = await plane.admin.get<AgentRun>(agentRuns, at('cancelled'))
    const labelSelector = `k8sclaw.io/run-uid=${metadata.uid}`
    const working = async () => {
      const { items } = await plane.admin.list<Pod>(pods, { namespace: 'default', labelSelector })
      return items.filter(({ status }) => status?.phase === 'Running').length
    }
    await expect.poll(working, { timeout: 60_000, interval: 500 }).toBe(0)
  })

  test('end at their timeout', async () => {
    await plane.apply(run('late', 'slow', { task: 'wait', timeout: '3s' }))
    await until('late', 'TimedOut', 'DeadlineExceeded')
  })

  test('end TimedOut where the Job controller ends their pod, whose agent dies of a signal then', async () => {
    await plane.apply(run('overdue', 'slow', { task: 'wait' }))
    await whenRunning('overdue')
    const { status } = await plane.admin.get<AgentRun>(agentRuns, at('overdue'))
    await plane.admin.patch(jobs, at(status?.jobName ?? ''), { spec: { activeDeadlineSeconds: 1 } })
    await until('overdue', 'TimedOut', 'DeadlineExceeded')
  })

  test('wait for a place, and take it when there is one', async () => {
    await plane.apply(run('first', 'slow', { task: 'wait' }), run('second', 'slow', { task: 'wait' }))
    await whenRunning('first')
    await whenRunning('second')
    await plane.apply(run('third', 'slow', { task: 'be quick' }))
    await until('third', 'Pending', 'Queued')
    await plane.admin.patch(agentRuns, at('first'), { spec: { cancel: true } })
    await until('third', 'Succeeded', 'Completed')
    await plane.admin.patch(agentRuns, at('second'), { spec: { cancel: true } })
    await until('second', 'Cancelled', 'Cancelled')
  })

  test('are removed once their time is over, with all that was theirs', async () => {
    await plane.apply(run('short-lived', 'slow', { task: 'be quick', ttlSecondsAfterFinished: 0 }))
    const gone = async () => (await plane.tryKubectl(['get', 'agentrun', 'short-lived'])).stderr
    await expect.poll(gone, { timeout: 90_000, interval: 500 }).toContain('not found')
    const theirs = async () => {
      const all = [...(await plane.admin.list(jobs)).items, ...(await plane.admin.list(pods)).items]
      return all.filter(({ metadata }) => metadata.name.startsWith('short-lived')).map((one) => one.metadata.name)
    }
    await expect.poll(theirs, { timeout: 60_000, interval: 500 }).toEqual([])
  })

  test('whose pod dies are failed with the reason', async () => {
    await plane.apply(run('killed', 'slow', { task: 'wait' }))
    await whenRunning('killed')
    const { status } = await plane.admin.get<AgentRun>(agentRuns, at('killed'))
    await plane.kubectl(['delete', 'pod', status?.podName ?? '', '--wait=false'])
    await until('killed', 'Failed', 'PodLost')
  })

  test('wait for an instance that does not exist yet', async () => {
    await plane.apply(run('early', 'later'))
    await expect.poll(async () => (await phase('early'))[0], { timeout: 30_000 }).toBe('Pending')
    await plane.apply(instance('later'))
    await until('early', 'Succeeded', 'Completed')
  })

  test('are bounded by a ResourceQuota that counts them', async () => {
    await plane.kubectl(['create', 'namespace', 'bounded'])
    await plane.kubectl(['create', 'quota', 'runs', '-n', 'bounded', '--hard=count/agentruns.k8sclaw.io=1'])
    const used = async () => {
      const { status } = await plane.getJson<{ status?: { used?: object } }>('get', 'quota', 'runs', '-n', 'bounded')
      return status?.used
    }
    // Until the quota has been counted once it refuses everything.
    await expect.poll(used, { timeout: 60_000 }).toEqual({ 'count/agentruns.k8sclaw.io': '0' })
    const inBounded = (name: string) => ({
      ...run(name, 'nobody'),
      metadata: { name, namespace: 'bounded' },
    })
    const first = () => plane.tryKubectl(['apply', '-f', '-'], stringify(inBounded('one')))
    await expect.poll(async () => (await first()).stderr, { timeout: 60_000, interval: 500 }).toBe('')
    const second = await plane.tryKubectl(['apply', '-f', '-'], stringify(inBounded('two')))
    expect(second.stderr).toContain('exceeded quota: runs')
  })

  test('keep their instance informed', async () => {
    const { status } = await plane.admin.get<ClawInstance>(clawInstances, at('slow'))
    const ready = status?.conditions?.find(({ type }: Condition) => type === 'Ready')
    expect([status?.phase, ready?.status]).toEqual(['Ready', 'True'])
    await expect
      .poll(async () => (await plane.admin.get<ClawInstance>(clawInstances, at('slow'))).status?.activeRuns)
      .toBe(0)
  })
})
