import { describe, expect, test } from 'vitest'
import { ApiError } from '../api-error.ts'
import type { Json } from '../json.ts'
import type { KubeObject } from '../types.ts'
import { deployments } from './deployments.ts'
import { jobs } from './jobs.ts'
import type { Kind } from './kind.ts'
import { pods } from './pods.ts'
import { services } from './services.ts'

/** The fields that a kind refuses, after its defaults. */
function refused(kind: Kind, spec: Json, oldSpec?: Json): string[] {
  const made = (of: Json) => {
    const it = { metadata: { name: 'x', namespace: 'n' }, spec: structuredClone(of) } as unknown as KubeObject
    kind.behaviour.defaults?.(it)
    return it
  }
  return (kind.behaviour.validate?.(made(spec), oldSpec && made(oldSpec)) ?? []).map(({ field, detail }) => {
    expect(detail).not.toBe('')
    return field
  })
}

const pod = (more: Json = {}, container: Json = {}): Json => ({
  containers: [{ name: 'c', image: 'i', ...container }],
  ...more,
})
const refusedOfPod = (more?: Json, container?: Json) => refused(pods, pod(more, container))

describe('what one machine does not apply is refused by the name of the field', () => {
  test.each<[string, Json]>([
    ['affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution', requiredAffinity()],
    ['schedulerName', { schedulerName: 'mine' }],
    ['schedulingGates', { schedulingGates: [{ name: 'x/y' }] }],
    ['readinessGates', { readinessGates: [{ conditionType: 'x/y' }] }],
    ['hostNetwork', { hostNetwork: true }],
    ['hostPID', { hostPID: true }],
    ['hostIPC', { hostIPC: true }],
    ['hostUsers', { hostUsers: false }],
    ['shareProcessNamespace', { shareProcessNamespace: true }],
    ['setHostnameAsFQDN', { setHostnameAsFQDN: true }],
    ['resourceClaims', { resourceClaims: [{ name: 'gpu' }] }],
    ['overhead', { overhead: { cpu: '1' } }],
    ['os.name', { os: { name: 'windows' } }],
    ['securityContext.sysctls', { securityContext: { sysctls: [{ name: 'net.x', value: '1' }] } }],
    ['securityContext.supplementalGroupsPolicy', { securityContext: { supplementalGroupsPolicy: 'Strict' } }],
    ['securityContext.seccompProfile.type', { securityContext: { seccompProfile: { type: 'Localhost' } } }],
    ['volumes[0].hostPath', { volumes: [{ name: 'v', hostPath: { path: '/' } }] }],
    ['volumes[0].nfs', { volumes: [{ name: 'v', nfs: { server: 's', path: '/' } }] }],
    [
      'volumes[0].downwardAPI.items[0].resourceFieldRef',
      {
        volumes: [{ name: 'v', downwardAPI: { items: [{ path: 'p', resourceFieldRef: { resource: 'limits.cpu' } }] } }],
      },
    ],
  ])('of a pod: %s', (field, spec) => expect(refusedOfPod(spec)).toEqual([`spec.${field}`]))

  test.each<[string, Json]>([
    ['lifecycle', { lifecycle: { preStop: { exec: { command: ['true'] } } } }],
    ['stdin', { stdin: true }],
    ['tty', { tty: true }],
    ['securityContext.privileged', { securityContext: { privileged: true } }],
    ['securityContext.capabilities.add', { securityContext: { capabilities: { add: ['NET_ADMIN'] } } }],
    ['securityContext.procMount', { securityContext: { procMount: 'Unmasked' } }],
    ['securityContext.appArmorProfile.type', { securityContext: { appArmorProfile: { type: 'Localhost' } } }],
    ['livenessProbe.grpc', { livenessProbe: { grpc: { port: 1 } } }],
    ['startupProbe.grpc', { startupProbe: { grpc: { port: 1 } } }],
    ['ports[0].hostPort', { ports: [{ containerPort: 80, hostPort: 80 }] }],
    ['env[0].valueFrom.resourceFieldRef', { env: [{ name: 'A', valueFrom: { resourceFieldRef: { resource: 'x' } } }] }],
  ])('of a container: %s', (field, container) => {
    expect(refusedOfPod({}, container)).toEqual([`spec.containers[0].${field}`])
    expect(refused(pods, { ...pod(), initContainers: [{ name: 'i', image: 'i', ...container }] })).toEqual([
      `spec.initContainers[0].${field}`,
    ])
  })

  test('of a mount: what changes which folder is mounted, or how', () => {
    const mount = { name: 'v', mountPath: '/v', subPathExpr: '$(A)', mountPropagation: 'Bidirectional' }
    expect(refusedOfPod({ volumes: [{ name: 'v', emptyDir: {} }] }, { volumeMounts: [mount] })).toEqual([
      'spec.containers[0].volumeMounts[0].subPathExpr',
      'spec.containers[0].volumeMounts[0].mountPropagation',
    ])
  })

  test('of what makes pods, where it stands in the template', () => {
    const metadata = { labels: { a: 'b' } }
    const spec = { selector: { matchLabels: { a: 'b' } }, template: { metadata, spec: pod({}, { tty: true }) } }
    expect(refused(deployments, spec)).toEqual(['spec.template.spec.containers[0].tty'])
    expect(refused(deployments, { ...spec, template: { metadata, spec: pod() }, paused: true })).toEqual([
      'spec.paused',
    ])
    const template = { metadata, spec: { ...pod(), restartPolicy: 'Never' } }
    const job = { selector: spec.selector, manualSelector: true, template }
    expect(refused(jobs, { ...job, completionMode: 'Indexed', backoffLimitPerIndex: 1 })).toEqual([
      'spec.completionMode',
      'spec.backoffLimitPerIndex',
    ])
  })

  test('of a Service: what its forwarding does not do', () => {
    const ports = [{ port: 53, protocol: 'UDP' }]
    expect(refused(services, { ports, sessionAffinity: 'ClientIP', publishNotReadyAddresses: true })).toEqual([
      'spec.sessionAffinity',
      'spec.publishNotReadyAddresses',
      'spec.ports[0].protocol',
    ])
  })

  test('but not what an object had before, so that the rest of it can be changed', () => {
    const ports = [{ port: 1 }]
    const had = { ports, sessionAffinity: 'ClientIP' }
    expect(refused(services, { ...had, externalIPs: ['192.0.2.1'] }, had)).toEqual(['spec.externalIPs'])
  })
})

test('what usual manifests say, and changes nothing on one machine, is accepted', () => {
  const spread = { maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'ScheduleAnyway' }
  const securityContext = {
    ...{ runAsNonRoot: true, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, privileged: false },
    ...{ capabilities: { drop: ['ALL'] }, seccompProfile: { type: 'RuntimeDefault' } },
  }
  const more = { topologySpreadConstraints: [spread], hostNetwork: false, os: { name: 'linux' } }
  expect(refusedOfPod({ ...more, schedulerName: 'default-scheduler' }, { securityContext })).toEqual([])
})

test.each([
  ['a RuntimeClass', { runtimeClassName: 'gvisor' }, 'pod rejected: RuntimeClass "gvisor" not found'],
  ['a PriorityClass', { priorityClassName: 'high' }, 'no PriorityClass with name high was found'],
])('a pod that wants %s is refused as by the real server, and never runs without', (_, spec, why) => {
  const it = { metadata: { name: 'x', namespace: 'n' }, spec: pod(spec) } as unknown as KubeObject
  const nothing = { get: () => undefined } as never
  const refuse = () => pods.behaviour.inTransaction?.(it, nothing, undefined)
  expect(refuse).toThrow(ApiError)
  expect(refuse).toThrow(`pods "x" is forbidden: ${why}`)
})

function requiredAffinity(): Json {
  const matchExpressions = [{ key: 'gpu', operator: 'Exists' }]
  const required = { nodeSelectorTerms: [{ matchExpressions }] }
  return { affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } } }
}
