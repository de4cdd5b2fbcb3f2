/** What the parts of the node share: who they talk to, what they may start, and local copies of what they look up. */
import { type KubeObject, type LocalClient, type Log, type ResourceRef, resources } from '#localkube/api'
import type { ImageTable } from './images.ts'
import type { Isolation } from './isolation.ts'
import { Mirror } from './mirror.ts'
import type { Deployment, Job, KeyValues, Node, Pod, ReplicaSet, Service } from './objects.ts'

export interface NodeContext {
  client: LocalClient
  log: Log
  signal: AbortSignal
  images: ImageTable
  isolation: Isolation
  nodeName: string
  /** Holds pods/ and claims/. */
  dataDir: string
  /** Where pods reach the API server. */
  apiAddress: { host: string; port: string }
  mirrors: Mirrors
}

export type Mirrors = ReturnType<typeof createMirrors>

export function createMirrors(client: LocalClient, signal: AbortSignal, log: Log) {
  const mirror = <T extends KubeObject>(resource: ResourceRef) => new Mirror<T>(client, resource, signal, log)
  return {
    pods: mirror<Pod>(resources.pods),
    jobs: mirror<Job>(resources.jobs),
    deployments: mirror<Deployment>(resources.deployments),
    replicaSets: mirror<ReplicaSet>(resources.replicaSets),
    nodes: mirror<Node>(resources.nodes),
    services: mirror<Service>(resources.services),
    secrets: mirror<KeyValues>(resources.secrets),
    configMaps: mirror<KeyValues>(resources.configMaps),
    claims: mirror<KubeObject>(resources.persistentVolumeClaims),
  }
}
