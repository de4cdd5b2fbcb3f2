/**
 * A real kube-apiserver for tests, with etcd beneath it and, where they are there, the controller manager and the
 * scheduler beside it: free ports, a folder of its own, RBAC, an audit log. Nothing runs pods. `close` leaves no process
 * and no file.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { kubernetesAssets } from '../kubernetes/assets.ts'
import { type ClientCertificate, clientCertificate } from './client-certificate.ts'
import { freePorts } from './ports.ts'
import { Program } from './program.ts'

export interface TestKubernetes {
  url: string
  caPem: string
  /** Of the group system:masters. */
  token: string
  /** A kubeconfig file of the administrator, who has a token. */
  kubeconfig: string
  /** A kubeconfig file of another user of system:masters, who has a client certificate and nothing else. */
  certificateKubeconfig: string
  /** The authority of its clients' certificates, by which a kubelet knows the server too. */
  clientCaFile: string
  /** One JSON object a line, for every request, at its end. */
  auditLog: string
  hasControllerManager: boolean
  close(): Promise<void>
}

export interface KubernetesOptions {
  /** Where clusterIPs come from; default 10.96.0.0/16, where nobody answers. */
  serviceRange?: string
  /** For nodes: the address at which they and their pods find the server, and the command to start all of it there. */
  nodes?: { server: string; podRange: string; within: string[] }
}

/** Controllers of nodes and endpoints: the ones speak of heartbeats, the others refuse the loopback addresses of tests. */
const idleControllers = [
  'node-lifecycle-controller',
  'endpoints-controller',
  'endpointslice-controller',
  'endpointslice-mirroring-controller',
]

/** The kubernetes Service of a control plane without nodes leads nowhere, so nobody has to keep its endpoints. */
const servedToNobody = ['--bind-address=127.0.0.1', '--advertise-address=127.0.0.1', '--endpoint-reconciler-type=none']

/** To a node's pods, and as the client that its kubelet knows by a certificate. */
function servedTo(address: string, file: (name: string) => string): string[] {
  return [
    ...['--bind-address=0.0.0.0', `--advertise-address=${address}`, '--kubelet-preferred-address-types=InternalIP'],
    ...[`--kubelet-client-certificate=${file('client.crt')}`, `--kubelet-client-key=${file('client.key')}`],
  ]
}

export async function startKubernetes({
  serviceRange = '10.96.0.0/16',
  nodes,
}: KubernetesOptions = {}): Promise<TestKubernetes> {
  const assets = kubernetesAssets()
  if (!assets) throw new Error('there is no kube-apiserver: set KUBEBUILDER_ASSETS, or install Go')
  const folder = await mkdtemp(join(tmpdir(), 'k8sclaw-kubernetes-'))
  const running: Program[] = []
  const start = (name: string, args: string[]): Program => {
    const program = new Program(join(assets.folder, name), args, folder, process.env, nodes?.within)
    running.push(program)
    return program
  }
  const close = async (): Promise<void> => {
    for (const program of running.toReversed()) await program.stop()
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const [etcdPort = 0, peerPort = 0, freePort = 0] = await freePorts(3)
    // Policies know the server by the port that it usually has.
    const port = nodes ? 6443 : freePort
    const token = randomBytes(16).toString('hex')
    const file = (name: string): string => join(folder, name)
    const client = await clientCertificate('certificate-admin', 'system:masters')
    await writeFiles(folder, token, client)

    const etcdUrl = `http://127.0.0.1:${etcdPort}`
    const peerUrl = `http://127.0.0.1:${peerPort}`
    start('etcd', [
      ...[`--data-dir=${file('etcd')}`, '--unsafe-no-fsync', '--log-level=warn'],
      ...[`--listen-client-urls=${etcdUrl}`, `--advertise-client-urls=${etcdUrl}`],
      ...[`--listen-peer-urls=${peerUrl}`, `--initial-advertise-peer-urls=${peerUrl}`],
      `--initial-cluster=default=${peerUrl}`,
    ])
    const apiServer = start('kube-apiserver', [
      ...[`--etcd-servers=${etcdUrl}`, `--cert-dir=${file('certs')}`, `--secure-port=${port}`],
      ...(nodes ? servedTo(nodes.server, file) : servedToNobody),
      ...['--service-account-issuer=https://kubernetes.default.svc', `--service-cluster-ip-range=${serviceRange}`],
      ...[`--service-account-key-file=${file('accounts.pub')}`],
      ...[`--service-account-signing-key-file=${file('accounts.key')}`],
      ...['--authorization-mode=Node,RBAC', `--token-auth-file=${file('tokens.csv')}`],
      `--client-ca-file=${file('clients.crt')}`,
      ...[`--audit-policy-file=${file('audit.yaml')}`, `--audit-log-path=${file('audit.log')}`],
    ])
    const url = `https://${nodes?.server ?? '127.0.0.1'}:${port}`
    const caFile = file('certs/apiserver.crt')
    await apiServer.until(async () => (await ask(`${url}/readyz`, await readFile(caFile, 'utf8'), token)) === 200)
    const caPem = await readFile(caFile, 'utf8')
    const kubeconfig = file('kubeconfig')
    await writeFile(kubeconfig, kubeconfigOf(url, caPem, { token }), { mode: 0o600 })
    const certificateKubeconfig = file('certificate-kubeconfig')
    const certificate = {
      'client-certificate-data': base64(client.certificate),
      'client-key-data': base64(client.key),
    }
    await writeFile(certificateKubeconfig, kubeconfigOf(url, caPem, certificate), { mode: 0o600 })
    // Their default limits, 20 and 50 requests a second, are those of a small cluster's control plane.
    const common = [`--kubeconfig=${kubeconfig}`, '--secure-port=0', '--leader-elect=false']
    const limits = ['--kube-api-qps=1000', '--kube-api-burst=2000']
    if (assets.hasControllerManager) {
      const manager = start('kube-controller-manager', [
        ...common,
        ...limits,
        ...[`--root-ca-file=${caFile}`, `--service-account-private-key-file=${file('accounts.key')}`],
        ...(nodes
          ? ['--allocate-node-cidrs', `--cluster-cidr=${nodes.podRange}`]
          : [`--controllers=*,${idleControllers.map((name) => `-${name}`).join(',')}`]),
      ])
      const account = `${url}/api/v1/namespaces/default/serviceaccounts/default`
      await manager.until(async () => (await ask(account, caPem, token)) === 200)
    }
    if (existsSync(join(assets.folder, 'kube-scheduler'))) start('kube-scheduler', [...common, ...limits])
    const { hasControllerManager } = assets
    const [auditLog, clientCaFile] = [file('audit.log'), file('clients.crt')]
    const kubeconfigs = { kubeconfig, certificateKubeconfig, clientCaFile }
    return { url, caPem, token, ...kubeconfigs, auditLog, hasControllerManager, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function writeFiles(folder: string, token: string, client: ClientCertificate): Promise<void> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const policy = {
    apiVersion: 'audit.k8s.io/v1',
    kind: 'Policy',
    omitStages: ['RequestReceived'],
    rules: [{ level: 'Metadata' }],
  }
  const files: Record<string, string> = {
    'accounts.key': privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    'accounts.pub': publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    'clients.crt': client.authority,
    'client.crt': client.certificate,
    'client.key': client.key,
    'tokens.csv': `${token},kubernetes-admin,kubernetes-admin,system:masters\n`,
    'audit.yaml': stringify(policy),
  }
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text, { mode: 0o600 })
}

function kubeconfigOf(server: string, caPem: string, user: Record<string, string>): string {
  const ca = base64(caPem)
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server, 'certificate-authority-data': ca } }],
    users: [{ name: 'admin', user }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
    'current-context': 'test',
  })
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

function ask(url: string, ca: string, token: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const options = { ca, headers: { Authorization: `Bearer ${token}` }, timeout: 5_000 }
    const outgoing = request(url, options, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer')))
    outgoing.on('error', reject).end()
  })
}
