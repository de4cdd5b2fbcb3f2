/** A claim is a folder that lives as long as the PersistentVolumeClaim; it is bound as soon as it is seen. */
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type KubeObject, resources } from '#localkube/api'
import type { NodeContext } from './context.ts'

export class Claims {
  readonly #context: NodeContext

  constructor(context: NodeContext) {
    this.#context = context
  }

  /** Call it once the mirrors are filled. */
  async start(): Promise<void> {
    await this.#sweep()
    this.#context.mirrors.claims.subscribe((change) => {
      const { object } = change
      const task =
        change.type === 'deleted' ? rm(this.#path(object), { recursive: true, force: true }) : this.#bind(object)
      task.catch((error: unknown) => {
        if (!this.#context.signal.aborted)
          this.#context.log('warn', 'claim not handled', { claim: object.metadata.name, error: String(error) })
      })
    })
  }

  /** The folder of a claim, undefined while the claim does not exist. */
  async folder(namespace: string, name: string): Promise<string | undefined> {
    const claim = this.#context.mirrors.claims.get(namespace, name)
    if (!claim) return undefined
    await mkdir(this.#path(claim), { recursive: true })
    return this.#path(claim)
  }

  async #bind(claim: KubeObject): Promise<void> {
    if ((claim.status as { phase?: string } | undefined)?.phase === 'Bound') return
    const { accessModes, resources: wanted } = claim.spec as {
      accessModes?: string[]
      resources?: { requests?: Record<string, string> }
    }
    const { namespace = '', name } = claim.metadata
    const status = { phase: 'Bound', accessModes: accessModes ?? [], capacity: wanted?.requests ?? {} }
    const key = { namespace, name }
    await this.#context.client.patch(resources.persistentVolumeClaims, key, { status }, { subresource: 'status' })
  }

  /** Folders of claims that were deleted while no node ran. */
  async #sweep(): Promise<void> {
    const root = join(this.#context.dataDir, 'claims')
    for (const namespace of await readdir(root).catch(() => [])) {
      for (const name of await readdir(join(root, namespace)).catch(() => [])) {
        if (!this.#context.mirrors.claims.get(namespace, name))
          await rm(join(root, namespace, name), { recursive: true, force: true })
      }
    }
  }

  #path(claim: KubeObject): string {
    return join(this.#context.dataDir, 'claims', claim.metadata.namespace ?? '', claim.metadata.name)
  }
}
