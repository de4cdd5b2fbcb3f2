import { describe, expect, it } from 'vitest'
import { stringify } from 'yaml'
import type { Job } from '#core/kube'
import { effective, run } from '../testing/objects.ts'
import { buildJob, fileRoomOf } from './job.ts'

const settings = {
  bridgeImage: 'k8sclaw/bridge:dev',
  identityUrl: 'http://identity:8082',
  gatewayUrl: 'http://gateway:8080',
  busUrl: 'nats://bus:4222',
}
const hostAliases = [{ ip: '10.96.0.10', hostnames: ['k8sclaw-nats.k8sclaw-system.svc'] }]
const full = {
  ...effective,
  command: ['agent'],
  args: ['--fast'],
  featureGates: { 'file-access': true },
  resources: { requests: { cpu: '1', memory: '1Gi' }, limits: { cpu: '2', memory: '4Gi' } },
  runtimeClassName: 'gvisor',
  imagePullSecrets: [{ name: 'registry' }],
  skills: [
    { name: 'a', description: 'A', configMap: 'pack-1', key: 'a.md', sha256: '0'.repeat(64) },
    { name: 'b', description: 'B', configMap: 'pack-1', key: 'b.md', sha256: '0'.repeat(64) },
    { name: 'c', description: 'C', configMap: 'pack-2', key: 'c.md', sha256: '0'.repeat(64) },
  ],
}
const { sandbox: _, ...bare } = effective

interface PodSpec {
  serviceAccountName: string
  automountServiceAccountToken: boolean
  initContainers: Container[]
  containers: Container[]
  volumes: { name: string }[]
}
interface Container {
  name: string
  restartPolicy?: string
  env: { name: string; value: string }[]
  volumeMounts: { name: string; mountPath: string; readOnly?: boolean }[]
  securityContext: { runAsUser: number }
}
const facts = { startDeadlineSeconds: 300, bridgeKey: 'key' }
const podOf = ({ spec = {} }: ReturnType<typeof buildJob>) => (spec.template as { spec: PodSpec }).spec
const mounts = (container: Container | undefined) => container?.volumeMounts.map((m) => m.name)

describe('buildJob', () => {
  it('is, in full, the committed golden', async () => {
    const job = buildJob(run('r'), full, settings, { ...facts, bridgeKey: 'the-bridge-key', hostAliases })
    await expect(stringify(job)).toMatchFileSnapshot('job.golden.yaml')
  })

  it('tells whoever comes later how much room the run was promised for what it hands over', () => {
    const told = (fileRoom?: number) => fileRoomOf(buildJob(run('r'), full, settings, { ...facts, fileRoom }) as Job)
    expect([told(), told(0), told(67_108_864)]).toEqual([undefined, 0, 67_108_864])
    const changed = { metadata: { name: 'r', annotations: { 'k8sclaw.io/file-room': '-1' } } } as unknown as Job
    expect(fileRoomOf(changed)).toBeUndefined()
  })

  it('gives token and socket to the bridge, and neither to agent or sandbox', () => {
    const pod = podOf(buildJob(run('r'), full, settings, facts))
    const [bridge, sandbox] = pod.initContainers
    const [agent] = pod.containers
    expect(pod.automountServiceAccountToken).toBe(false)
    expect(mounts(bridge)).toEqual(['ipc', 'input', 'socket', 'skill-sources', 'skills', 'token'])
    expect(mounts(sandbox)).toEqual(['socket', 'workspace', 'sandbox-tmp'])
    expect(mounts(agent)).toEqual(['ipc', 'input', 'tmp', 'workspace', 'skills'])
    expect(agent?.volumeMounts.find((m) => m.name === 'input')?.readOnly).toBe(true)
    expect(new Set([bridge, sandbox, agent].map((c) => c?.securityContext.runAsUser)).size).toBe(3)
    const secrets = agent?.env.filter((e) => /TOKEN|IDENTITY|BUS|GATEWAY/.test(e.name))
    expect(secrets).toEqual([])
  })

  it('shows the agent only what skills the bridge let through, and to read', () => {
    const pod = podOf(buildJob(run('r'), full, settings, facts))
    const [agent] = pod.containers
    expect(agent?.volumeMounts.find((m) => m.name === 'skills')).toMatchObject({ mountPath: '/skills', readOnly: true })
    expect(mounts(agent)).not.toContain('skill-sources')
    expect(pod.volumes.find((v) => v.name === 'skills')).toHaveProperty('emptyDir')
  })

  it('has no DNS where it is told addresses, and leaves names to the node where it is not', () => {
    const told = podOf(buildJob(run('r'), bare, settings, { ...facts, hostAliases: [] }))
    expect(told).toMatchObject({ dnsPolicy: 'None', dnsConfig: { nameservers: ['127.0.0.1'] }, hostAliases: [] })
    expect(podOf(buildJob(run('r'), bare, settings, facts))).not.toHaveProperty('dnsPolicy')
  })

  it('has neither sandbox nor workspace nor skills where none are wanted', () => {
    const pod = podOf(buildJob(run('r'), bare, settings, facts))
    expect(pod.initContainers.map((c) => c.name)).toEqual(['bridge'])
    expect(pod.initContainers[0]?.env.some((e) => e.name === 'K8SCLAW_SANDBOX_SOCKET')).toBe(false)
    expect(pod.volumes.map((v) => v.name)).toEqual(['ipc', 'input', 'tmp', 'token'])
  })

  it('mounts no volume that the pod does not have', () => {
    for (const shape of [full, bare, effective, { ...bare, featureGates: { 'file-access': true } }]) {
      const pod = podOf(buildJob(run('r'), shape, settings, facts))
      const there = new Set(pod.volumes.map((v) => v.name))
      for (const container of [...pod.initContainers, ...pod.containers]) {
        for (const { name } of container.volumeMounts) expect(there).toContain(name)
      }
    }
  })

  it('names Jobs by run and uid in 63 characters, for names of any length', () => {
    const long = 'a'.repeat(253)
    const uids = ['one', 'its-successor'].map((uid) => ({ ...run(long), metadata: { ...run(long).metadata, uid } }))
    const [first, second] = uids.map((one) => buildJob(one, bare, settings, facts).metadata)
    expect(first?.name.length).toBeLessThanOrEqual(63)
    expect(second?.name).not.toBe(first?.name)
    for (const value of Object.values(first?.labels ?? {})) expect(value.length).toBeLessThanOrEqual(63)
  })
})
