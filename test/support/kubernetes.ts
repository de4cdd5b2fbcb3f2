/**
 * A real kube-apiserver for tests, with etcd beneath it and the controller manager beside it where there is one: free
 * ports, a folder of its own, RBAC, an audit log. Nothing runs pods. `close` leaves no process and no file.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { closeSync, openSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'
import { kubernetesAssets } from '../kubernetes/assets.ts'

export interface TestKubernetes {
  url: string
  caPem: string
  /** Of the group system:masters. */
  token: string
  /** A kubeconfig file of the administrator. */
  kubeconfig: string
  /** One JSON object a line, for every request, at its end. */
  auditLog: string
  hasControllerManager: boolean
  close(): Promise<void>
}

/** How long anything may take to start; a busy machine needs half of it. */
const startMs = 120_000

export async function startKubernetes(): Promise<TestKubernetes> {
  const assets = kubernetesAssets()
  if (!assets) throw new Error('there is no kube-apiserver: set KUBEBUILDER_ASSETS, or install Go')
  const folder = await mkdtemp(join(tmpdir(), 'k8sclaw-kubernetes-'))
  const running: Program[] = []
  const start = (name: string, args: string[]): Program => {
    const program = new Program(name, assets.folder, folder, args)
    running.push(program)
    return program
  }
  const close = async (): Promise<void> => {
    for (const program of running.toReversed()) await program.stop()
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const [etcdPort = 0, peerPort = 0, port = 0] = await freePorts(3)
    const token = randomBytes(16).toString('hex')
    const file = (name: string): string => join(folder, name)
    await writeFiles(folder, token)

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
      // The kubernetes Service of a control plane without nodes leads nowhere, so nobody has to keep its endpoints.
      ...['--bind-address=127.0.0.1', '--advertise-address=127.0.0.1', '--endpoint-reconciler-type=none'],
      ...['--service-account-issuer=https://kubernetes.default.svc', '--service-cluster-ip-range=10.96.0.0/16'],
      ...[`--service-account-key-file=${file('accounts.pub')}`],
      ...[`--service-account-signing-key-file=${file('accounts.key')}`],
      ...['--authorization-mode=Node,RBAC', `--token-auth-file=${file('tokens.csv')}`],
      ...[`--audit-policy-file=${file('audit.yaml')}`, `--audit-log-path=${file('audit.log')}`],
    ])
    const url = `https://127.0.0.1:${port}`
    const caFile = file('certs/apiserver.crt')
    await until(apiServer, async () => (await ask(`${url}/readyz`, await readFile(caFile, 'utf8'), token)) === 200)
    const caPem = await readFile(caFile, 'utf8')
    const kubeconfig = file('kubeconfig')
    await writeFile(kubeconfig, kubeconfigOf(url, caPem, token), { mode: 0o600 })
    if (assets.hasControllerManager) {
      const manager = start('kube-controller-manager', [
        ...[`--kubeconfig=${kubeconfig}`, '--secure-port=0', '--leader-elect=false'],
        ...[`--root-ca-file=${caFile}`, `--service-account-private-key-file=${file('accounts.key')}`],
      ])
      const account = `${url}/api/v1/namespaces/default/serviceaccounts/default`
      await until(manager, async () => (await ask(account, caPem, token)) === 200)
    }
    const { hasControllerManager } = assets
    return { url, caPem, token, kubeconfig, auditLog: file('audit.log'), hasControllerManager, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** One program of the control plane, with its output in a file of the folder. */
class Program {
  readonly name: string
  readonly #log: string
  readonly #process: ChildProcess
  readonly #ended: Promise<void>
  readonly #onExit: () => void
  #failure: string | undefined

  constructor(name: string, assets: string, folder: string, args: string[]) {
    this.name = name
    this.#log = join(folder, `${name}.log`)
    const output = openSync(this.#log, 'w')
    this.#process = spawn(join(assets, name), args, { cwd: folder, stdio: ['ignore', output, output] })
    closeSync(output)
    this.#ended = new Promise((resolve) => {
      this.#process.once('error', (error) => {
        this.#failure = `${name} cannot be started: ${error.message}`
        resolve()
      })
      this.#process.once('exit', (code, signal) => {
        this.#failure = `${name} ended with ${code ?? signal}`
        resolve()
      })
    })
    // A test that dies of an error of its own must not leave the program behind.
    this.#onExit = () => this.#process.kill('SIGKILL')
    process.once('exit', this.#onExit)
  }

  /** Throws, with the end of what it said, where it no longer runs. */
  async check(): Promise<void> {
    if (this.#failure) throw new Error(`${this.#failure}:\n${await this.said()}`)
  }

  async said(): Promise<string> {
    return (await readFile(this.#log, 'utf8')).slice(-4096)
  }

  /** Nothing that it holds is worth a graceful end, which a kube-apiserver takes many seconds for. */
  async stop(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#ended
    process.off('exit', this.#onExit)
  }
}

async function until(program: Program, isReady: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + startMs
  while (!(await isReady().catch(() => false))) {
    await program.check()
    if (Date.now() > deadline) throw new Error(`${program.name} was not ready in time:\n${await program.said()}`)
    await sleep(100)
  }
}

async function writeFiles(folder: string, token: string): Promise<void> {
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
    'tokens.csv': `${token},kubernetes-admin,kubernetes-admin,system:masters\n`,
    'audit.yaml': stringify(policy),
  }
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text, { mode: 0o600 })
}

function kubeconfigOf(server: string, caPem: string, token: string): string {
  const ca = Buffer.from(caPem).toString('base64')
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server, 'certificate-authority-data': ca } }],
    users: [{ name: 'admin', user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
    'current-context': 'test',
  })
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

/** Ports that were free a moment ago; all are held until the last is found, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.once('error', reject)
          server.listen(0, '127.0.0.1', () => {
            const address = server.address()
            resolve(typeof address === 'object' && address ? address.port : 0)
          })
        }),
    ),
  )
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
