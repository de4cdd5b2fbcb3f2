/**
 * What kubectl and our programs rely on, as tests that hold for any Kubernetes API. Written once and run twice: on
 * localkube by `make test`, on a real kube-apiserver by `make test-kubernetes`. Where the two differ, the real one is right.
 */
import { afterAll, beforeAll, describe } from 'vitest'
import { access } from './access.ts'
import { admission } from './admission.ts'
import { client } from './client.ts'
import { Cluster, type Target } from './cluster.ts'
import { customResources } from './custom-resources.ts'
import { deletion } from './deletion.ts'
import { commands } from './kubectl.ts'
import { platform } from './platform.ts'
import { reads } from './reads.ts'
import { rights } from './rights.ts'
import { tokens } from './tokens.ts'
import { writes } from './writes.ts'

export type { Target } from './cluster.ts'

export interface Capabilities {
  /** Somebody collects what lost its owner, empties namespaces, and furnishes new ones. */
  hasControllers: boolean
}

export function conformance(name: string, start: () => Promise<Target>, capabilities: Capabilities): void {
  describe(name, () => {
    const cluster = new Cluster()
    beforeAll(() => cluster.open(start), 300_000)
    afterAll(() => cluster.close())
    platform(cluster)
    rights(cluster, capabilities)
    writes(cluster)
    customResources(cluster)
    reads(cluster)
    deletion(cluster, capabilities)
    access(cluster)
    tokens(cluster, capabilities)
    admission(cluster)
    client(cluster)
    commands(cluster, capabilities)
  })
}
