import type { RunAddress } from '#core/identity'
import { type AgentRun, apiVersion, type Effective, type Unborn } from '#core/kinds'
import { childName, type Job, ownerReference } from '#core/kube'

/** Label of everything that belongs to one run: its uid, because a name may be longer than a label and come again. */
export const runUidLabel = `${apiVersion.split('/')[0]}/run-uid`
/** Label of what belongs to an instance, a run or a channel: the instance's name. */
export const instanceLabel = 'k8sclaw.io/instance'
const runAnnotation = 'k8sclaw.io/run'
const roomAnnotation = 'k8sclaw.io/file-room'

/** ServiceAccount of run pods in every tenant's namespace. It may do nothing; it is who a pod says it is. */
export const runServiceAccount = 'k8sclaw-run'
/** Name of the container that does the task. */
export const agentContainer = 'agent'
export const bridgeContainer = 'bridge'
/** Audience of the token that a bridge trades for its identity. */
export const identityAudience = 'k8sclaw'

/** What the platform puts into every run pod. */
export interface JobSettings {
  bridgeImage: string
  identityUrl: string
  gatewayUrl: string
  busUrl: string
  /** The authorities that bridges believe, PEM; absent where nothing inside the platform speaks TLS. */
  caPem?: string | undefined
}

const ids = { agent: 10001, bridge: 10002, sandbox: 10003, group: 10000 } as const
const bridgePort = 8088
/** Where the bridge finds the skills as their ConfigMaps hold them, and where it puts those that the agent may see. */
const skillSourcesDir = '/etc/k8sclaw/skills'
const skillsOutDir = '/var/lib/k8sclaw/skills'
/**
 * Seconds beyond the run's own timeout, which the bridge enforces from the moment it has the task, and beyond what the
 * start may take, until Kubernetes ends the Job.
 */
const deadlineMargin = 60
/** Seconds from a pod's SIGTERM to its SIGKILL: the bridge looks for a last result and records it. */
export const podGraceSeconds = 5
/** Finished pods stay this long for their logs. */
const keepFinishedSeconds = 300

export function jobName(run: AgentRun): string {
  return childName([run.metadata.name], { salt: run.metadata.uid ?? '' })
}

/** A line of a pod's /etc/hosts. */
export interface HostAlias {
  ip: string
  hostnames: string[]
}

export interface JobFacts {
  /** How long the pod may take to start its agent: of the time of the run that takes nothing. */
  startDeadlineSeconds: number
  /** The random word by which the agent proves to its bridge that it is not somebody else on the same loopback. */
  bridgeKey: string
  /** What the pod has instead of DNS; undefined where names are seen to by the node. */
  hostAliases?: HostAlias[] | undefined
  /** Bytes that what the run hands over may take; undefined where it hands over nothing. */
  fileRoom?: number | undefined
}

/** What the run of this Job was told that it may hand over, bytes; undefined where the Job does not say. */
export function fileRoomOf({ metadata }: Job): number | undefined {
  const told = metadata.annotations?.[roomAnnotation] ?? ''
  return /^\d{1,12}$/.test(told) ? Number(told) : undefined
}

/** The Job of a run: one pod, one attempt. Agent and sandbox get no token and no credential of a provider. */
export function buildJob(run: AgentRun, effective: Effective, settings: JobSettings, facts: JobFacts): NamedJob {
  const { startDeadlineSeconds, bridgeKey, hostAliases, fileRoom } = facts
  const labels = {
    'app.kubernetes.io/managed-by': 'k8sclaw',
    [runUidLabel]: run.metadata.uid ?? '',
    [instanceLabel]: run.spec.instanceRef.name,
  }
  const annotations = { [runAnnotation]: run.metadata.name }
  const parts = partsOf(effective)
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: jobName(run),
      ...(run.metadata.namespace === undefined ? {} : { namespace: run.metadata.namespace }),
      labels,
      annotations: fileRoom === undefined ? annotations : { ...annotations, [roomAnnotation]: String(fileRoom) },
      ownerReferences: [ownerReference(run)],
    },
    spec: {
      backoffLimit: 0,
      activeDeadlineSeconds: effective.limits.timeoutSeconds + Math.ceil(startDeadlineSeconds) + deadlineMargin,
      ttlSecondsAfterFinished: keepFinishedSeconds,
      template: {
        metadata: { labels, annotations },
        spec: {
          restartPolicy: 'Never',
          serviceAccountName: runServiceAccount,
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          terminationGracePeriodSeconds: podGraceSeconds,
          ...(effective.runtimeClassName === undefined ? {} : { runtimeClassName: effective.runtimeClassName }),
          ...(effective.imagePullSecrets ? { imagePullSecrets: effective.imagePullSecrets } : {}),
          ...(hostAliases ? withoutDns(hostAliases) : {}),
          securityContext: {
            runAsNonRoot: true,
            // Of the container that holds the pod together: a group without a user is refused by some runtimes.
            runAsUser: ids.agent,
            runAsGroup: ids.group,
            fsGroup: ids.group,
            seccompProfile: { type: 'RuntimeDefault' },
          },
          initContainers: [
            bridge(run, parts, settings, bridgeKey),
            ...(effective.sandbox ? [sandbox(effective.sandbox)] : []),
          ],
          containers: [agent(effective, parts, bridgeKey)],
          volumes: volumes(effective, parts),
        },
      },
    },
  }
}

/** No resolver at all: Kubernetes wants one named, and on the pod's own loopback nobody answers. */
function withoutDns(hostAliases: HostAlias[]) {
  return { dnsPolicy: 'None', dnsConfig: { nameservers: ['127.0.0.1'] }, hostAliases }
}

type NamedJob = Unborn<Job> & { metadata: { name: string } }

/** Which of the optional parts this pod has. */
function partsOf(effective: Effective) {
  const workspaceInAgent = effective.featureGates['file-access'] === true
  return {
    sandbox: effective.sandbox !== undefined,
    workspaceInAgent,
    workspace: effective.sandbox !== undefined || workspaceInAgent,
    skills: (effective.skills?.length ?? 0) > 0,
  }
}
type Parts = ReturnType<typeof partsOf>

const env = (name: string, value: string) => ({ name, value })
const mount = (name: string, mountPath: string, readOnly = false) => ({
  name,
  mountPath,
  ...(readOnly ? { readOnly } : {}),
})
const secured = (uid: number) => ({
  runAsUser: uid,
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
})

function bridge(run: AgentRun, parts: Parts, settings: JobSettings, bridgeKey: string) {
  const { caPem } = settings
  const address: RunAddress = addressOfRun(run)
  return {
    name: bridgeContainer,
    image: settings.bridgeImage,
    imagePullPolicy: 'IfNotPresent',
    restartPolicy: 'Always',
    ports: [{ name: 'agent', containerPort: bridgePort }],
    env: [
      env('K8SCLAW_RUN_UID', address.uid),
      env('K8SCLAW_NAMESPACE', address.namespace),
      env('K8SCLAW_INSTANCE', address.instance),
      env('K8SCLAW_ATTEMPT', '1'),
      env('K8SCLAW_IPC_DIR', '/ipc'),
      env('K8SCLAW_SKILLS_DIR', '/skills'),
      ...(parts.skills
        ? [env('K8SCLAW_SKILL_SOURCES_DIR', skillSourcesDir), env('K8SCLAW_SKILLS_OUT_DIR', skillsOutDir)]
        : []),
      ...(parts.sandbox ? [env('K8SCLAW_SANDBOX_SOCKET', '/run/k8sclaw/sandbox.sock')] : []),
      env('K8SCLAW_TOKEN_FILE', '/var/run/secrets/k8sclaw/token'),
      env('K8SCLAW_IDENTITY_URL', settings.identityUrl),
      env('EVENT_BUS_URL', settings.busUrl),
      env('K8SCLAW_GATEWAY_URL', settings.gatewayUrl),
      ...(caPem === undefined ? [] : [env('K8SCLAW_CA', caPem)]),
      env('K8SCLAW_LISTEN', `127.0.0.1:${bridgePort}`),
      env('K8SCLAW_BRIDGE_KEY', bridgeKey),
    ],
    volumeMounts: [
      mount('ipc', '/ipc'),
      mount('input', '/ipc/input'),
      ...(parts.sandbox ? [mount('socket', '/run/k8sclaw')] : []),
      ...(parts.skills ? [mount('skill-sources', skillSourcesDir, true), mount('skills', skillsOutDir)] : []),
      mount('token', '/var/run/secrets/k8sclaw', true),
    ],
    resources: { requests: { cpu: '20m', memory: '96Mi' }, limits: { memory: '512Mi' } },
    securityContext: secured(ids.bridge),
  }
}

function sandbox({ image, resources }: NonNullable<Effective['sandbox']>) {
  return {
    name: 'sandbox',
    image,
    imagePullPolicy: 'IfNotPresent',
    restartPolicy: 'Always',
    env: [env('K8SCLAW_SANDBOX_SOCKET', '/run/k8sclaw/sandbox.sock'), env('K8SCLAW_WORKSPACE', '/workspace')],
    volumeMounts: [mount('socket', '/run/k8sclaw'), mount('workspace', '/workspace'), mount('sandbox-tmp', '/tmp')],
    resources,
    securityContext: secured(ids.sandbox),
  }
}

function agent(effective: Effective, parts: Parts, bridgeKey: string) {
  return {
    name: agentContainer,
    image: effective.image,
    imagePullPolicy: 'IfNotPresent',
    ...(effective.command ? { command: effective.command } : {}),
    ...(effective.args ? { args: effective.args } : {}),
    env: [
      env('K8SCLAW_IPC_DIR', '/ipc'),
      env('K8SCLAW_WORKSPACE', '/workspace'),
      env('K8SCLAW_SKILLS_DIR', '/skills'),
      env('OPENAI_BASE_URL', `http://127.0.0.1:${bridgePort}/openai/v1`),
      env('ANTHROPIC_BASE_URL', `http://127.0.0.1:${bridgePort}/anthropic`),
      env('OPENAI_API_KEY', bridgeKey),
      env('ANTHROPIC_API_KEY', bridgeKey),
      env('HOME', '/tmp'),
      env('TMPDIR', '/tmp'),
    ],
    volumeMounts: [
      mount('ipc', '/ipc'),
      mount('input', '/ipc/input', true),
      mount('tmp', '/tmp'),
      ...(parts.workspaceInAgent ? [mount('workspace', '/workspace')] : []),
      ...(parts.skills ? [mount('skills', '/skills', true)] : []),
    ],
    resources: effective.resources,
    securityContext: secured(ids.agent),
  }
}

function volumes(effective: Effective, parts: Parts) {
  const empty = (name: string, sizeLimit: string, medium?: 'Memory') => ({
    name,
    emptyDir: { sizeLimit, ...(medium ? { medium } : {}) },
  })
  return [
    empty('ipc', '64Mi', 'Memory'),
    empty('input', '64Mi'),
    ...(parts.sandbox ? [empty('socket', '1Mi'), empty('sandbox-tmp', '2Gi')] : []),
    ...(parts.workspace ? [empty('workspace', '8Gi')] : []),
    empty('tmp', '2Gi'),
    ...(parts.skills
      ? [empty('skills', '64Mi'), { name: 'skill-sources', projected: { sources: skillSources(effective) } }]
      : []),
    {
      name: 'token',
      projected: {
        defaultMode: 0o440,
        sources: [{ serviceAccountToken: { audience: identityAudience, expirationSeconds: 600, path: 'token' } }],
      },
    },
  ]
}

/** One source a ConfigMap, each skill a file of its own. */
function skillSources(effective: Effective) {
  const byConfigMap = Map.groupBy(effective.skills ?? [], (skill) => skill.configMap)
  return [...byConfigMap].map(([name, skills]) => ({
    configMap: { name, items: skills.map(({ key }) => ({ key, path: key })) },
  }))
}

/** A run as the bus knows it. */
export function addressOfRun(run: AgentRun): RunAddress {
  const { namespace = 'default', uid } = run.metadata
  if (!uid) throw new RangeError(`AgentRun ${run.metadata.name} has no uid`)
  return { namespace, instance: run.spec.instanceRef.name, uid }
}
