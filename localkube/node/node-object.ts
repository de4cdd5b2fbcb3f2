/** The Node as others see it: Ready, and honest about whether it isolates. */
import { cpus, totalmem } from 'node:os'
import { ApiError, type LocalClient, resources } from '#localkube/api'
import { nowText } from './container.ts'
import type { Isolation } from './isolation.ts'

export async function registerNode(
  client: LocalClient,
  name: string,
  address: string,
  isolation: Isolation,
): Promise<void> {
  const metadata = { name, labels: { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux' } }
  await client
    .create(resources.nodes, { apiVersion: 'v1', kind: 'Node', metadata, spec: {} })
    .catch((error: unknown) => {
      if (!(error instanceof ApiError && error.code === 409)) throw error
    })
  const now = nowText()
  const isolated = isolation.kind === 'bubblewrap'
  const capacity = { cpu: String(cpus().length), memory: `${Math.floor(totalmem() / 1024)}Ki`, pods: '1000' }
  const status = {
    addresses: [
      { type: 'InternalIP', address },
      { type: 'Hostname', address: name },
    ],
    capacity,
    allocatable: capacity,
    conditions: [
      {
        type: 'Ready',
        status: 'True',
        reason: 'KubeletReady',
        message: 'pods run as processes of this machine',
        lastHeartbeatTime: now,
        lastTransitionTime: now,
      },
      {
        type: 'Isolated',
        status: isolated ? 'True' : 'False',
        reason: isolated ? 'Bubblewrap' : 'NotIsolated',
        message: isolation.reason,
        lastHeartbeatTime: now,
        lastTransitionTime: now,
      },
    ],
    nodeInfo: {
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      operatingSystem: 'linux',
      kubeletVersion: 'v1.32.0+localkube',
      containerRuntimeVersion: isolated ? 'bubblewrap://' : 'process://',
    },
  }
  await client.patch(resources.nodes, { name }, { status }, { subresource: 'status' })
}
