/**
 * Services: on each clusterIP the node listens on the Service's ports while a ready pod is behind them, and forwards
 * connections to those pods in turn. Without a ready pod a connection is refused, as kube-proxy does.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { NodeContext } from './context.ts'
import { isReady, type Pod, type Service, selects } from './objects.ts'

interface Endpoint {
  host: string
  port: number
}

type ServicePort = NonNullable<Service['spec']['ports']>[number]

export class Services {
  readonly #context: NodeContext
  readonly #listeners = new Map<string, Listener>()
  readonly #turns = new Map<string, number>()

  constructor(context: NodeContext) {
    this.#context = context
  }

  /** Call it once the mirrors are filled. */
  start(): void {
    const { services, pods } = this.#context.mirrors
    services.subscribe((change) => {
      if (change.type === 'deleted') this.#close(change.object)
      else this.#update(change.object)
    })
    pods.subscribe((change) => {
      const before = change.type === 'set' ? change.previous : change.object
      const after = change.type === 'set' ? change.object : undefined
      if (!(before && isEndpoint(before)) && !(after && isEndpoint(after))) return
      for (const service of services.all()) {
        if (service.metadata.namespace === change.object.metadata.namespace) this.#update(service)
      }
    })
  }

  /** Where to connect for a port (name or number) of a Service; undefined while no ready pod is behind it. */
  resolve(namespace: string, name: string, port: string): Endpoint | undefined {
    const service = this.#context.mirrors.services.get(namespace, name)
    const found = service?.spec.ports?.find((p) => p.name === port || String(p.port) === port)
    return service && found ? this.#pick(service, found) : undefined
  }

  async close(): Promise<void> {
    await Promise.all([...this.#listeners.values()].map((listener) => listener.close()))
    this.#listeners.clear()
  }

  #update(service: Service): void {
    const { clusterIP, selector, ports = [] } = service.spec
    const wanted = new Set<string>()
    if (clusterIP && clusterIP !== 'None' && selector) {
      for (const port of ports) {
        if ((port.protocol ?? 'TCP') !== 'TCP' || this.#endpoints(service, port).length === 0) continue
        const key = `${keyOf(service)} ${clusterIP}:${port.port}`
        wanted.add(key)
        if (!this.#listeners.has(key)) this.#listen(key, service, clusterIP, port)
      }
    }
    for (const [key, listener] of this.#listeners) {
      if (!key.startsWith(`${keyOf(service)} `) || wanted.has(key)) continue
      this.#listeners.delete(key)
      listener.refuse()
    }
  }

  #close(service: Service): void {
    for (const [key, listener] of this.#listeners) {
      if (!key.startsWith(`${keyOf(service)} `)) continue
      this.#listeners.delete(key)
      void listener.close()
    }
    this.#turns.delete(keyOf(service))
  }

  #listen(key: string, service: Service, host: string, port: ServicePort): void {
    const { namespace, name } = service.metadata
    const pick = () => {
      const current = this.#context.mirrors.services.get(namespace, name)
      const same = current?.spec.ports?.find((p) => p.port === port.port)
      return current && same ? this.#pick(current, same) : undefined
    }
    const listener = new Listener(host, port.port, pick, (error) => {
      // A port below 1024 may need root. Callers inside the cluster's API go by resolve() and need no listener.
      this.#context.log('warn', 'service port not served on its clusterIP', {
        namespace,
        service: name,
        port: port.port,
        error: error.message,
      })
    })
    this.#listeners.set(key, listener)
  }

  #pick(service: Service, port: ServicePort): Endpoint | undefined {
    const endpoints = this.#endpoints(service, port)
    if (endpoints.length === 0) return undefined
    const turn = (this.#turns.get(keyOf(service)) ?? -1) + 1
    this.#turns.set(keyOf(service), turn)
    return endpoints[turn % endpoints.length]
  }

  #endpoints(service: Service, { port, targetPort = port }: ServicePort): Endpoint[] {
    const { selector } = service.spec
    if (!selector) return []
    return this.#context.mirrors.pods
      .all()
      .filter((pod) => pod.metadata.namespace === service.metadata.namespace && isEndpoint(pod))
      .filter((pod) => selects({ matchLabels: selector }, pod.metadata.labels))
      .flatMap((pod) => {
        const number = typeof targetPort === 'number' ? targetPort : namedPort(pod, targetPort)
        const host = pod.status?.podIP
        return host === undefined || number === undefined ? [] : [{ host, port: number }]
      })
  }
}

/** A listening port whose connections are led to the endpoint that `pick` names at that moment. */
class Listener {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  constructor(host: string, port: number, pick: () => Endpoint | undefined, onError: (error: Error) => void) {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      const endpoint = pick()
      if (!endpoint) {
        client.resetAndDestroy()
        return
      }
      this.#pipe(client, connect({ ...endpoint, allowHalfOpen: true, noDelay: true }))
    })
    this.#server.on('error', onError)
    this.#server.listen(port, host)
  }

  /** New connections are refused; those that are open go on. */
  refuse(): void {
    this.#server.close()
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
      for (const socket of this.#sockets) socket.destroy()
    })
  }

  #pipe(client: Socket, upstream: Socket): void {
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      this.#sockets.add(socket)
      socket.on('error', () => other.resetAndDestroy())
      socket.on('close', () => {
        this.#sockets.delete(socket)
        if (!other.writableEnded) other.destroy()
      })
    }
    client.pipe(upstream)
    upstream.pipe(client)
  }
}

function keyOf(service: Service): string {
  return `${service.metadata.namespace}/${service.metadata.name}`
}

function isEndpoint(pod: Pod): boolean {
  return isReady(pod) && pod.metadata.deletionTimestamp === undefined && pod.status?.podIP !== undefined
}

function namedPort(pod: Pod, name: string): number | undefined {
  const containers = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])]
  return containers.flatMap((c) => c.ports ?? []).find((p) => p.name === name)?.containerPort
}
