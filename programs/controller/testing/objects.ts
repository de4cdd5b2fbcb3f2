import type { AgentRun, AgentRunSpec, AgentRunStatus, ClawInstance, Effective } from '#core/kinds'
import type { ContainerStatus, Job, Pod } from '#core/kube'
import { runUidLabel } from '../resources/job.ts'

const resources = { requests: { cpu: '50m', memory: '96Mi' }, limits: { memory: '2Gi' } }

/** Objects as tests want them: valid, and with only what the test is about. */
export const effective: Effective = {
  agent: 'default',
  model: { provider: 'demo', name: 'demo' },
  image: 'k8sclaw/agent:dev',
  resources,
  sandbox: { enabled: true, image: 'k8sclaw/sandbox:dev', resources },
  subagents: { maxDepth: 2, maxConcurrent: 5, maxChildrenPerAgent: 3 },
  policy: { name: 'default-policy', generation: 1 },
  toolGating: { defaultAction: 'deny', rules: [] },
  featureGates: {},
  limits: { timeoutSeconds: 600, maxSteps: 64, maxTokens: 1_000_000 },
  isolation: 'bubblewrap',
}

export function run(name: string, spec: Partial<AgentRunSpec> = {}, status: AgentRunStatus = {}): AgentRun {
  return {
    apiVersion: 'k8sclaw.io/v1alpha1',
    kind: 'AgentRun',
    metadata: {
      name,
      namespace: 'team',
      uid: `uid-${name}`,
      resourceVersion: '1',
      generation: 1,
      creationTimestamp: '2026-01-01T00:00:00Z',
    },
    spec: { instanceRef: { name: 'helper' }, agent: 'default', task: 'Do it.', ...spec },
    status,
  }
}

export function instance(
  spec: Partial<ClawInstance['spec']> = {},
  status: ClawInstance['status'] = { phase: 'Ready' },
) {
  const object: ClawInstance = {
    apiVersion: 'k8sclaw.io/v1alpha1',
    kind: 'ClawInstance',
    metadata: { name: 'helper', namespace: 'team', uid: 'uid-helper', generation: 1 },
    spec: {
      agents: { default: { model: { provider: 'demo', name: 'demo' }, timeout: '10m', systemPrompt: 'Be brief.' } },
      maxConcurrentRuns: 2,
      ...spec,
    },
    ...(status ? { status } : {}),
  }
  return object
}

type State = NonNullable<ContainerStatus['state']>
export const running: State = { running: { startedAt: '2026-01-01T00:00:00Z' } }

export function pod(of: AgentRun, states: { agent?: State; bridge?: State }, status: Pod['status'] = {}): Pod {
  const container = (name: string, state: State | undefined) => (state ? [{ name, state }] : [])
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `${of.metadata.name}-pod`,
      namespace: 'team',
      uid: 'uid-pod',
      labels: { [runUidLabel]: of.metadata.uid ?? '' },
    },
    status: {
      phase: 'Running',
      initContainerStatuses: container('bridge', states.bridge),
      containerStatuses: container('agent', states.agent),
      ...status,
    },
  }
}

export function job(of: AgentRun, condition?: { type: string; reason: string }): Job {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: `${of.metadata.name}-job`, namespace: 'team', uid: 'uid-job' },
    status: condition ? { conditions: [{ ...condition, status: 'True' }] } : { active: 1 },
  }
}
