/**
 * A container that has this machine's network has neither a loopback of its pod nor the names of Services, and one
 * outside bubblewrap no mount paths, so what its environment and command line say of them is rewritten to where these
 * really are. Pure.
 */

export interface Rewriting {
  /** Mount path in the container → real path. */
  paths: ReadonlyMap<string, string>
  /** Container ports of the pod: `127.0.0.1:<port>` is the pod's address here. */
  ports: ReadonlySet<number>
  podIP: string
  /** The clusterIP of a Service, if there is one. */
  clusterIP(namespace: string, name: string): string | undefined
}

const loopback = /\b127\.0\.0\.1:(\d{1,5})\b/g
const serviceName =
  /(?<![\w.-])([a-z0-9]([-a-z0-9]*[a-z0-9])?)\.([a-z0-9]([-a-z0-9]*[a-z0-9])?)\.svc(\.cluster\.local)?(?![\w-]|\.\w)/g

/** A function that rewrites one string. */
export function rewriter(rewriting: Rewriting): (text: string) => string {
  const paths = pathPattern([...rewriting.paths.keys()])
  return (text) =>
    (paths ? text.replace(paths, (path) => rewriting.paths.get(path) ?? path) : text)
      .replace(loopback, (match, port: string) =>
        rewriting.ports.has(Number(port)) ? `${rewriting.podIP}:${port}` : match,
      )
      .replace(
        serviceName,
        (match, name: string, _, namespace: string) => rewriting.clusterIP(namespace, name) ?? match,
      )
}

/**
 * A mount path counts where it stands as a whole path or as the head of one: at the start or after a character that no
 * path holds (or `scheme://`), and before `/`, the end, or such a character. The longest mount wins.
 */
function pathPattern(paths: string[]): RegExp | undefined {
  if (paths.length === 0) return undefined
  const alternatives = paths
    .toSorted((a, b) => b.length - a.length)
    .map((path) => path.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('|')
  return new RegExp(
    `(?<![\\w./@%~-]|\\w:/)(?:${alternatives})(?![\\w.@%~-])|(?<=\\w://)(?:${alternatives})(?![\\w.@%~-])`,
    'g',
  )
}
