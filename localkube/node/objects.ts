/** The fields of the Kubernetes objects that the node reads or writes; the API server has validated and defaulted them. */
import type { KubeObject, ObjectMeta } from '#localkube/api'

export interface Condition {
  type: string
  status: 'True' | 'False' | 'Unknown'
  reason?: string
  message?: string
  lastTransitionTime: string
}

export interface KeyReference {
  name: string
  key: string
  optional?: boolean
}

export interface EnvVar {
  name: string
  value?: string
  valueFrom?: {
    secretKeyRef?: KeyReference
    configMapKeyRef?: KeyReference
    fieldRef?: { fieldPath: string }
  }
}

export interface EnvFrom {
  prefix?: string
  secretRef?: { name: string; optional?: boolean }
  configMapRef?: { name: string; optional?: boolean }
}

export interface VolumeMount {
  name: string
  mountPath: string
  subPath?: string
  readOnly?: boolean
}

export interface Probe {
  httpGet?: {
    path?: string
    port: number | string
    host?: string
    scheme?: string
    httpHeaders?: { name: string; value: string }[]
  }
  tcpSocket?: { port: number | string; host?: string }
  exec?: { command: string[] }
  initialDelaySeconds?: number
  periodSeconds?: number
  timeoutSeconds?: number
  successThreshold?: number
  failureThreshold?: number
  terminationGracePeriodSeconds?: number
}

export interface Container {
  name: string
  image: string
  command?: string[]
  args?: string[]
  workingDir?: string
  env?: EnvVar[]
  envFrom?: EnvFrom[]
  ports?: { name?: string; containerPort: number; protocol?: string }[]
  volumeMounts?: VolumeMount[]
  readinessProbe?: Probe
  livenessProbe?: Probe
  startupProbe?: Probe
  /** Of init containers only: `Always` makes it a native sidecar. */
  restartPolicy?: 'Always'
  securityContext?: { runAsUser?: number; runAsGroup?: number; runAsNonRoot?: boolean }
}

export interface KeyToPath {
  key: string
  path: string
  mode?: number
}

export interface SecretSource {
  items?: KeyToPath[]
  optional?: boolean
}

export interface DownwardFile {
  path: string
  fieldRef?: { fieldPath: string }
  mode?: number
}

export interface ProjectedSource {
  secret?: SecretSource & { name: string }
  configMap?: SecretSource & { name: string }
  downwardAPI?: { items?: DownwardFile[] }
  serviceAccountToken?: { audience?: string; expirationSeconds?: number; path: string }
}

export interface Volume {
  name: string
  emptyDir?: { sizeLimit?: string | number }
  secret?: SecretSource & { secretName: string; defaultMode?: number }
  configMap?: SecretSource & { name: string; defaultMode?: number }
  downwardAPI?: { items?: DownwardFile[]; defaultMode?: number }
  projected?: { sources?: ProjectedSource[]; defaultMode?: number }
  persistentVolumeClaim?: { claimName: string; readOnly?: boolean }
}

export interface PodSpec {
  containers: Container[]
  initContainers?: Container[]
  volumes?: Volume[]
  restartPolicy?: 'Always' | 'OnFailure' | 'Never'
  nodeName?: string
  nodeSelector?: Record<string, string>
  serviceAccountName?: string
  hostname?: string
  hostAliases?: { ip: string; hostnames?: string[] }[]
  terminationGracePeriodSeconds?: number
  activeDeadlineSeconds?: number
  tolerations?: { key?: string; operator?: string; value?: string; effect?: string }[]
  securityContext?: {
    runAsUser?: number
    runAsGroup?: number
    runAsNonRoot?: boolean
    fsGroup?: number
    supplementalGroups?: number[]
  }
  [field: string]: unknown
}

export interface ContainerState {
  waiting?: { reason: string; message?: string }
  running?: { startedAt: string }
  terminated?: {
    exitCode: number
    reason: string
    message?: string
    startedAt?: string
    finishedAt: string
  }
}

export interface ContainerStatus {
  name: string
  image: string
  imageID: string
  containerID?: string
  ready: boolean
  started: boolean
  restartCount: number
  state: ContainerState
  lastState: ContainerState
}

export type PodPhase = 'Pending' | 'Running' | 'Succeeded' | 'Failed'

export interface PodStatus {
  phase?: PodPhase
  reason?: string
  message?: string
  conditions?: Condition[]
  hostIP?: string
  podIP?: string
  podIPs?: { ip: string }[]
  startTime?: string
  qosClass?: string
  initContainerStatuses?: ContainerStatus[]
  containerStatuses?: ContainerStatus[]
}

export interface Pod extends KubeObject {
  metadata: ObjectMeta & { namespace: string }
  spec: PodSpec
  status?: PodStatus
}

export interface PodTemplate {
  metadata?: Partial<ObjectMeta>
  spec: PodSpec
}

export interface LabelSelector {
  matchLabels?: Record<string, string>
  matchExpressions?: { key: string; operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'; values?: string[] }[]
}

export interface Job extends KubeObject {
  metadata: ObjectMeta & { namespace: string }
  spec: {
    template: PodTemplate
    completions?: number
    parallelism?: number
    suspend?: boolean
    backoffLimit?: number
    activeDeadlineSeconds?: number
    ttlSecondsAfterFinished?: number
  }
  status?: JobStatus
}

export interface JobStatus {
  active?: number
  ready?: number
  succeeded?: number
  failed?: number
  startTime?: string
  completionTime?: string
  conditions?: Condition[]
}

export interface Deployment extends KubeObject {
  metadata: ObjectMeta & { namespace: string }
  spec: {
    replicas?: number
    selector: LabelSelector
    template: PodTemplate
    strategy?: { type?: string; rollingUpdate?: { maxSurge?: number | string; maxUnavailable?: number | string } }
    revisionHistoryLimit?: number
  }
  status?: {
    observedGeneration?: number
    replicas?: number
    updatedReplicas?: number
    readyReplicas?: number
    availableReplicas?: number
    unavailableReplicas?: number
    conditions?: Condition[]
  }
}

export interface ReplicaSet extends KubeObject {
  metadata: ObjectMeta & { namespace: string }
  spec: { replicas?: number; selector: LabelSelector; template: PodTemplate }
  status?: {
    observedGeneration?: number
    replicas?: number
    fullyLabeledReplicas?: number
    readyReplicas?: number
    availableReplicas?: number
  }
}

export interface Node extends KubeObject {
  /** `unschedulable`: it is cordoned. */
  spec?: { unschedulable?: boolean }
}

export interface Service extends KubeObject {
  metadata: ObjectMeta & { namespace: string }
  spec: {
    clusterIP?: string
    selector?: Record<string, string>
    ports?: { name?: string; port: number; targetPort?: number | string; protocol?: string }[]
  }
}

export interface KeyValues extends KubeObject {
  data?: Record<string, string>
  binaryData?: Record<string, string>
}

/** Whether this is over for good: no container of the pod will run again. */
export function isFinished(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'
}

/** Whether the pod may be sent traffic. */
export function isReady(pod: Pod): boolean {
  return pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false
}

/** Whether `owner` is the controller of `object`: by uid, since names are used again. */
export function isControlledBy(object: KubeObject, owner: KubeObject): boolean {
  return object.metadata.ownerReferences?.some((r) => r.controller === true && r.uid === owner.metadata.uid) ?? false
}

/** Whether the labels satisfy the selector; an empty selector selects everything. */
export function selects(selector: LabelSelector, labels: Record<string, string> = {}): boolean {
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) if (labels[key] !== value) return false
  return (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
    const value = labels[key]
    if (operator === 'Exists') return value !== undefined
    if (operator === 'DoesNotExist') return value === undefined
    const listed = value !== undefined && values.includes(value)
    return operator === 'In' ? listed : !listed
  })
}

/** The conditions with one set; the transition time moves only when the status does. */
export function withCondition(
  conditions: Condition[],
  condition: Omit<Condition, 'lastTransitionTime'>,
  now: string,
): Condition[] {
  const before = conditions.find((c) => c.type === condition.type)
  const lastTransitionTime = before?.status === condition.status ? before.lastTransitionTime : now
  const next = { ...condition, lastTransitionTime }
  return before ? conditions.map((c) => (c === before ? next : c)) : [...conditions, next]
}
