import { isClawError } from '#core/errors'
import { agentRuns } from '#core/kinds'
import type { Kube } from '#core/kube'
import { authorize } from '../callers.ts'

/** What becomes of a run whose client has left. */
export type WhenLeft = 'cancel' | 'continue'

export interface Asking {
  /** The API server's own access, which asks what the caller may. */
  kube: Kube
  token: string
  namespace: string
  /** By which the client may come back to its run. */
  key: string | undefined
  /** What the client wants, where it says so. */
  whenLeft: WhenLeft | undefined
}

/**
 * Asks before a run is made what Kubernetes would refuse only after: whether the caller may read its answer, and what
 * will become of it when the client leaves. Who can come back to it with a key may leave it, and who may not cancel it
 * can do nothing else. Throws `forbidden` where the answer could not be read, or the client wants what its caller may
 * not do. Creating is judged by Kubernetes itself.
 */
export async function askBefore({ kube, token, namespace, key, whenLeft }: Asking): Promise<WhenLeft> {
  const may = (verb: string) => authorize(kube, token, { verb, resource: agentRuns, namespace })
  const wanted = whenLeft ?? (key === undefined ? 'cancel' : 'continue')
  const [, mayCancel] = await Promise.all([
    may('get'),
    wanted === 'cancel' &&
      may('patch').catch((error: unknown) => {
        if (whenLeft === undefined && isClawError(error, 'forbidden')) return false
        throw error
      }),
  ])
  return mayCancel ? 'cancel' : 'continue'
}
