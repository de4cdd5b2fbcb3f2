import { connect, createServer, type Server, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { pods } from '#core/kube'
import type { ControlPlane } from './control-plane.ts'

const namespace = 'k8sclaw-system'

/** An address of this machine that is no loopback; kube-apiserver proxies to no other. */
export function outerAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((of) => of ?? [])
  return all.find(({ family, internal }) => family === 'IPv4' && !internal)?.address
}

/**
 * Lets the service proxy of the API server reach a Service of the system namespace: at an outer address of this machine,
 * where connections are passed on to the Service. The proxy believes Endpoints only where a pod has their address, so
 * there is one that says so. Call what it returns to end that.
 */
export async function makeReachable(plane: ControlPlane, name: string, address: string): Promise<() => Promise<void>> {
  interface Ports {
    spec: { clusterIP: string; ports: { name: string; port: number }[] }
  }
  const { spec } = await plane.getJson<Ports>('get', 'service', name, '-n', namespace)
  const [port] = spec.ports
  if (!port) throw new Error(`the Service ${name} has no port`)
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const service = connect(port.port, spec.clusterIP)
    for (const [one, other] of [
      [client, service],
      [service, client],
    ] as const) {
      sockets.add(one)
      one.on('error', () => other.destroy())
      one.on('close', () => sockets.delete(one))
      one.pipe(other)
    }
  })
  await new Promise<void>((done, fail) => {
    server.once('error', fail)
    server.listen(0, address, done)
  })
  const pod = await podAt(plane, `${name}-outer`, address)
  const subset = {
    addresses: [{ ip: address, targetRef: { kind: 'Pod', ...pod } }],
    ports: [{ name: port.name, port: portOf(server) }],
  }
  const metadata = { name, namespace }
  await plane.apply({ apiVersion: 'v1', kind: 'Endpoints', metadata, subsets: [subset] })
  return async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((done) => server.close(done))
  }
}

function portOf(server: Server): number {
  const bound = server.address()
  return bound !== null && typeof bound === 'object' ? bound.port : 0
}

/** A pod that no node runs, and whose address is this one. */
async function podAt(plane: ControlPlane, name: string, address: string): Promise<{ name: string; namespace: string }> {
  const node = { apiVersion: 'v1', kind: 'Node', metadata: { name }, spec: { unschedulable: true } }
  const spec = {
    nodeName: name,
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [
      {
        name: 'none',
        image: 'none',
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      },
    ],
  }
  await plane.apply(node, { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace }, spec })
  const status = { phase: 'Running', podIP: address, podIPs: [{ ip: address }] }
  await plane.admin.patch(pods, { namespace, name }, { status }, 'status')
  return { name, namespace }
}
