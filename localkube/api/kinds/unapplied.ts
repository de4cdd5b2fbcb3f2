/**
 * What Kubernetes has and one machine does not apply. A pod, Job, Deployment or Service that asks for it would be
 * another than its writer believes, so it is refused, and the sentence names the field. What is left out without harm
 * is not here: the README says what, and why.
 */
import { isObject, type Json, listAt, objectAt, stringAt } from '../json.ts'
import { type FieldError, forbidden } from '../schema/index.ts'
import type { KubeObject } from '../types.ts'

/** One field below an object; `asks` says whether its value asks for anything. */
interface Unapplied {
  /** Names apart by dots. */
  field: string
  why: string
  asks?: (value: unknown) => boolean
}

const isTrue = (value: unknown): boolean => value === true
const isFalse = (value: unknown): boolean => value === false
const isFilled = (value: unknown): boolean =>
  Array.isArray(value) ? value.length > 0 : isObject(value) && Object.keys(value).length > 0
const isNot =
  (...usual: unknown[]) =>
  (value: unknown): boolean =>
    !usual.includes(value)
const isAbove0 = (value: unknown): boolean => typeof value === 'number' && value > 0

const oneNode = 'there is one node; write a nodeSelector'
const hostNamespaces = 'what of this machine a container sees is said by its image alone'
const noModules = 'no security module of this machine is used'

const securityContextFields: Unapplied[] = [
  { field: 'seLinuxOptions', asks: isFilled, why: noModules },
  { field: 'windowsOptions', asks: isFilled, why: 'this is Linux' },
  { field: 'seccompProfile.type', asks: isNot('RuntimeDefault', 'Unconfined'), why: 'profiles are not loaded' },
  { field: 'appArmorProfile.type', asks: isNot('RuntimeDefault', 'Unconfined'), why: noModules },
]

const podFields: Unapplied[] = [
  { field: 'ephemeralContainers', asks: isFilled, why: 'nothing can be added to a pod that runs' },
  { field: 'affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution', asks: isFilled, why: oneNode },
  { field: 'schedulerName', asks: isNot('default-scheduler'), why: 'there is no other scheduler' },
  { field: 'schedulingGates', asks: isFilled, why: 'pods are scheduled at once' },
  { field: 'readinessGates', asks: isFilled, why: 'a pod is ready when its containers are' },
  { field: 'hostNetwork', asks: isTrue, why: hostNamespaces },
  { field: 'hostPID', asks: isTrue, why: hostNamespaces },
  { field: 'hostIPC', asks: isTrue, why: hostNamespaces },
  { field: 'hostUsers', asks: isFalse, why: 'containers are not given users of their own' },
  { field: 'shareProcessNamespace', asks: isTrue, why: 'each container has a process namespace of its own' },
  { field: 'setHostnameAsFQDN', asks: isTrue, why: 'there is no DNS' },
  { field: 'resourceClaims', asks: isFilled, why: 'there are no devices to claim' },
  { field: 'overhead', asks: isFilled, why: 'there are no RuntimeClasses' },
  { field: 'os.name', asks: isNot('linux'), why: 'this is Linux' },
  { field: 'securityContext.sysctls', asks: isFilled, why: 'settings of the kernel are not changed' },
  { field: 'securityContext.supplementalGroupsPolicy', asks: isNot('Merge'), why: 'images have no groups' },
  ...securityContextFields.map((one) => ({ ...one, field: `securityContext.${one.field}` })),
]

const containerFields: Unapplied[] = [
  { field: 'lifecycle', asks: isFilled, why: 'hooks are not run' },
  { field: 'stdin', asks: isTrue, why: 'nobody can attach; a container reads nothing' },
  { field: 'tty', asks: isTrue, why: 'there are no terminals' },
  { field: 'volumeDevices', asks: isFilled, why: 'there are no block devices' },
  { field: 'resizePolicy', asks: isFilled, why: 'resources are not resized' },
  { field: 'securityContext.privileged', asks: isTrue, why: 'no container is given privileges' },
  { field: 'securityContext.capabilities.add', asks: isFilled, why: 'containers have no capability' },
  { field: 'securityContext.procMount', asks: isNot('Default'), why: 'each container has the usual /proc' },
  ...securityContextFields.map((one) => ({ ...one, field: `securityContext.${one.field}` })),
  ...['livenessProbe', 'readinessProbe', 'startupProbe'].map((probe) => ({
    ...{ field: `${probe}.grpc`, asks: isObject, why: 'probes are httpGet, tcpSocket or exec' },
  })),
]

const mountFields: Unapplied[] = [
  { field: 'subPathExpr', asks: isNot(''), why: 'it is not expanded; write a subPath' },
  { field: 'mountPropagation', asks: isNot('None'), why: 'mounts are not passed on' },
  { field: 'recursiveReadOnly', asks: isNot('Disabled'), why: 'there are no mounts inside a volume' },
]

const noResourceFields: Unapplied = {
  ...{ field: 'resourceFieldRef', asks: isObject, why: 'resources are not applied, so there is nothing to tell' },
}

const jobFields: Unapplied[] = [
  { field: 'podFailurePolicy', asks: isFilled, why: 'every failed pod counts' },
  { field: 'successPolicy', asks: isFilled, why: 'a Job succeeds by its completions' },
  { field: 'completionMode', asks: isNot('NonIndexed'), why: 'pods of a Job have no index' },
  { field: 'backoffLimitPerIndex', why: 'pods of a Job have no index' },
  { field: 'maxFailedIndexes', why: 'pods of a Job have no index' },
  { field: 'managedBy', asks: isNot('kubernetes.io/job-controller'), why: 'there is no other controller of Jobs' },
]

const deploymentFields: Unapplied[] = [
  { field: 'paused', asks: isTrue, why: 'a rollout cannot be paused' },
  { field: 'minReadySeconds', asks: isAbove0, why: 'a pod that is ready is available' },
]

const portFields: Unapplied[] = [{ field: 'protocol', asks: isNot('TCP'), why: 'only TCP is passed on' }]

const serviceFields: Unapplied[] = [
  { field: 'sessionAffinity', asks: isNot('None'), why: 'connections go to one pod after another' },
  { field: 'externalIPs', asks: isFilled, why: 'the node listens on the clusterIP alone' },
  { field: 'publishNotReadyAddresses', asks: isTrue, why: 'connections go to ready pods' },
]

type Check = (it: KubeObject, old: KubeObject | undefined) => FieldError[]

export const unappliedOfJob = checkSpec((spec) => refusals(spec, jobFields, 'spec'))
export const unappliedOfDeployment = checkSpec((spec) => refusals(spec, deploymentFields, 'spec'))
export const unappliedOfService = checkSpec((spec) => [
  ...refusals(spec, serviceFields, 'spec'),
  ...each(listAt(spec, 'ports'), 'spec.ports', (port, at) => refusals(port, portFields, at)),
])
export const unappliedOfPod = checkSpec((spec) => ofPod(spec, 'spec'))
export const unappliedOfTemplate = checkSpec((spec) => ofPod(objectAt(spec, 'template', 'spec'), 'spec.template.spec'))

/** What stood in the object before is not refused again, or nobody could change the rest of it. */
function checkSpec(check: (spec: Json) => FieldError[]): Check {
  return (it, old) => {
    const before = new Set(old ? check(objectAt(old, 'spec')).map(({ field }) => field) : [])
    return check(objectAt(it, 'spec')).filter(({ field }) => !before.has(field))
  }
}

function ofPod(spec: Json, path: string): FieldError[] {
  return [
    ...refusals(spec, podFields, path),
    ...each(listAt(spec, 'volumes'), `${path}.volumes`, ofVolume),
    ...['initContainers', 'containers'].flatMap((list) => each(listAt(spec, list), `${path}.${list}`, ofContainer)),
  ]
}

function ofContainer(container: Json, at: string): FieldError[] {
  const hostPort = { field: 'hostPort', asks: isAbove0, why: 'the ports of this machine are not given away' }
  return [
    ...refusals(container, containerFields, at),
    ...each(listAt(container, 'ports'), `${at}.ports`, (port, p) => refusals(port, [hostPort], p)),
    ...each(listAt(container, 'volumeMounts'), `${at}.volumeMounts`, (mount, p) => refusals(mount, mountFields, p)),
    ...each(listAt(container, 'env'), `${at}.env`, (variable, p) =>
      refusals(objectAt(variable, 'valueFrom'), [noResourceFields], `${p}.valueFrom`),
    ),
  ]
}

/** The types of volume that the node makes. */
const volumeTypes = ['emptyDir', 'secret', 'configMap', 'downwardAPI', 'projected', 'persistentVolumeClaim']

function ofVolume(volume: Json, at: string): FieldError[] {
  const others = Object.keys(volume).filter((key) => key !== 'name' && !volumeTypes.includes(key))
  const items = (from: Json, path: string) =>
    each(listAt(from, 'downwardAPI', 'items'), `${path}.downwardAPI.items`, (item, p) =>
      refusals(item, [noResourceFields], p),
    )
  const bundle = { field: 'clusterTrustBundle', why: 'there are none' }
  return [
    ...others.map((type) =>
      forbidden(`${at}.${type}`, `this machine has volumes of the types ${volumeTypes.join(', ')}`),
    ),
    ...items(volume, at),
    ...each(listAt(volume, 'projected', 'sources'), `${at}.projected.sources`, (source, p) => [
      ...refusals(source, [bundle], p),
      ...items(source, p),
    ]),
  ]
}

function refusals(of: unknown, fields: readonly Unapplied[], path: string): FieldError[] {
  return fields.flatMap(({ field, why, asks = () => true }) => {
    const names = field.split('.')
    const value = objectAt(of, ...names.slice(0, -1))[names.at(-1) ?? '']
    return value !== undefined && value !== null && asks(value)
      ? [forbidden(`${path}.${field}`, `one machine does not apply it: ${why}`)]
      : []
  })
}

function each(items: unknown[], path: string, check: (item: Json, at: string) => FieldError[]): FieldError[] {
  return items.flatMap((item, index) => (isObject(item) ? check(item, `${path}[${index}]`) : []))
}

/** As the admission plugins of the real server say it: both must exist, and here neither kind does. */
export function missingClass(spec: Json): string | undefined {
  const runtime = stringAt(spec, 'runtimeClassName')
  if (runtime !== '') return `pod rejected: RuntimeClass "${runtime}" not found`
  const priority = stringAt(spec, 'priorityClassName')
  const known = ['', 'system-node-critical', 'system-cluster-critical']
  return known.includes(priority) ? undefined : `no PriorityClass with name ${priority} was found`
}
