/** The programs of this machine that stand for container images. */

export interface Image {
  /** The entrypoint; a container's `command` replaces it, its `args` follow it. */
  argv: string[]
  /** Runs inside bubblewrap, without a network, seeing nothing of this machine but its programs. */
  confined: boolean
  /** Confined, but on this machine's network: what its environment and command say of addresses is rewritten. */
  hostNetwork?: boolean
  /** The only namespaces whose pods may use it: whoever may use an image that is not confined owns this machine. */
  namespaces?: string[]
  /** Confined, but 127.0.0.1:<containerPort> of the pod's other containers is reachable. */
  forwardPorts?: boolean
  /** Files and folders of this machine that the image consists of; argv and env name their targets. */
  mounts?: { source: string; target: string; readOnly: true }[]
  env?: Record<string, string>
}

/** By repository, without tag or digest. */
export type ImageTable = Record<string, Image>

/**
 * The image of a reference such as `registry:5000/k8sclaw/agent:dev`, for a pod of that namespace; tag and digest do not
 * matter here.
 */
export function findImage(table: ImageTable, reference: string, namespace: string): Image | undefined {
  const repository = reference.replace(/@.*$/, '').replace(/:[^:/]*$/, '')
  const image = Object.hasOwn(table, repository) ? table[repository] : undefined
  return image?.namespaces?.includes(namespace) === false ? undefined : image
}
