import { existsSync, readFileSync } from 'node:fs'
import { type AgentOptions, Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent, type RequestOptions } from 'node:https'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { ClawError, errorMessage, toClawError } from '#core/errors'

/** How one identity reaches one API server. `options` is asked for every request, because tokens change. */
export interface Connection {
  server: URL
  /** Namespace that is meant where none is named. */
  namespace: string
  /** TLS, agent and headers of a request. */
  options(): Promise<RequestOptions>
  /** The same server with another bearer token and no other credential. */
  withToken(token: string): Connection
  close(): void
}

/** As many are kept as a burst of runs uses at once: a handshake costs both sides more than a request. */
const keepAlive: AgentOptions = { keepAlive: true, keepAliveMsecs: 15_000, maxFreeSockets: 64, scheduling: 'lifo' }
const tokenRereadMs = 30_000

export interface FixedConnection {
  server: string
  /** PEM of the authority that signed the server's certificate. */
  ca?: string | Buffer | undefined
  token?: string | (() => string) | undefined
  namespace?: string | undefined
}

/** A connection from values in hand rather than from a kubeconfig. */
export function fixedConnection({ server, ca, token, namespace = 'default' }: FixedConnection): Connection {
  const url = new URL(server)
  const agent = url.protocol === 'http:' ? new HttpAgent(keepAlive) : new HttpsAgent({ ...keepAlive, ca })
  const identity = (of: string | (() => string) | undefined): Connection => ({
    server: url,
    namespace,
    async options() {
      const value = typeof of === 'function' ? of() : of
      return { agent, headers: value ? { Authorization: `Bearer ${value}` } : {} }
    },
    withToken: (other) => identity(other),
    close: () => agent.destroy(),
  })
  return identity(token)
}

export interface KubeSource {
  context?: string | undefined
  namespace?: string | undefined
  env?: NodeJS.ProcessEnv | undefined
}

/**
 * KUBECONFIG where it is set; else, inside a pod, its service account; else the user's own kubeconfig. A pod's service
 * account comes before a file in a home folder, so that a program in a pod never acts as whoever owns that folder.
 */
export async function findConnection({ context, namespace, env = process.env }: KubeSource): Promise<Connection> {
  const folder = env.K8SCLAW_SERVICEACCOUNT_DIR ?? '/var/run/secrets/kubernetes.io/serviceaccount'
  const host = env.KUBERNETES_SERVICE_HOST
  if (!env.KUBECONFIG && context === undefined && host && existsSync(join(folder, 'token'))) {
    return inCluster({ folder, host, port: env.KUBERNETES_SERVICE_PORT ?? '443', namespace })
  }
  const file = join(env.HOME ?? homedir(), '.kube', 'config')
  if (!env.KUBECONFIG && !existsSync(file)) {
    throw new ClawError(
      'invalid',
      `no Kubernetes access: KUBECONFIG is not set, ${file} does not exist, and there is no service account in ${folder}`,
    )
  }
  const files = (env.KUBECONFIG || file).split(delimiter).filter((path) => path !== '')
  return await fromKubeconfig(files, { context, namespace })
}

function inCluster(pod: { folder: string; host: string; port: string; namespace?: string | undefined }): Connection {
  const read = (name: string) => readFileSync(join(pod.folder, name), 'utf8').trim()
  const host = pod.host.includes(':') ? `[${pod.host}]` : pod.host
  let token = ''
  let readAt = Number.NEGATIVE_INFINITY
  return fixedConnection({
    server: `https://${host}:${pod.port}`,
    ca: read('ca.crt'),
    namespace: pod.namespace ?? read('namespace'),
    token: () => {
      // The kubelet replaces the file before the token expires.
      if (performance.now() - readAt > tokenRereadMs) {
        token = read('token')
        readAt = performance.now()
      }
      return token
    },
  })
}

/** Loaded only when wanted: a program in a pod needs neither the YAML parser nor the auth plugins. */
async function fromKubeconfig(files: string[], { context, namespace }: KubeSource): Promise<Connection> {
  const { KubeConfig } = await import('@kubernetes/client-node/dist/config.js')
  const config = new KubeConfig()
  try {
    for (const file of files) {
      const one = new KubeConfig()
      one.loadFromFile(file)
      // As kubectl does it: of several files the first that names a context decides.
      config.mergeConfig(one, Boolean(config.getCurrentContext()))
    }
  } catch (error) {
    throw new ClawError('invalid', `the kubeconfig cannot be read: ${errorMessage(error)}`, { cause: error })
  }
  if (context !== undefined) {
    if (!config.getContextObject(context)) throw new ClawError('invalid', `the kubeconfig has no context ${context}`)
    config.setCurrentContext(context)
  }
  const cluster = config.getCurrentCluster()
  if (!cluster) throw new ClawError('invalid', 'the kubeconfig has no current context with a cluster')
  const server = new URL(cluster.server)
  const plain = server.protocol === 'http:'
  // The library refuses plain http unless verification is off, which means nothing there.
  if (plain) config.clusters = config.clusters.map((c) => (c.name === cluster.name ? { ...c, skipTLSVerify: true } : c))
  const inContext = config.getContextObject(config.getCurrentContext())?.namespace
  const agents = new Map<string, HttpAgent | HttpsAgent>()

  const agentFor = (options: RequestOptions): HttpAgent | HttpsAgent => {
    const { ca, cert, key, rejectUnauthorized, servername } = options
    const id = [ca, cert, key, rejectUnauthorized, servername].map(String).join('\n')
    const agent =
      agents.get(id) ??
      (plain
        ? new HttpAgent(keepAlive)
        : new HttpsAgent({ ...keepAlive, ca, cert, key, rejectUnauthorized, servername }))
    agents.set(id, agent)
    return agent
  }
  const identity = (token: string | undefined): Connection => ({
    server,
    namespace: namespace ?? inContext ?? 'default',
    async options() {
      const options: RequestOptions = {}
      try {
        await config.applyToHTTPSOptions(options)
      } catch (error) {
        throw toClawError(error, 'unauthenticated', 'the kubeconfig gives no usable credential')
      }
      if (token !== undefined) {
        const { ca, rejectUnauthorized, servername, agent } = options
        const bare: RequestOptions = { ca, rejectUnauthorized, servername }
        const headers = { Authorization: `Bearer ${token}` }
        return { headers, agent: cluster.proxyUrl ? agent : agentFor(bare) }
      }
      const headers = options.headers ?? {}
      const basic = options.auth ? { auth: options.auth } : {}
      return { headers, ...basic, agent: cluster.proxyUrl ? options.agent : agentFor(options) }
    },
    withToken: (other) => identity(other),
    close: () => {
      for (const agent of agents.values()) agent.destroy()
    },
  })
  return identity(undefined)
}
