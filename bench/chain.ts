import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ensureRunConsumers, ensureStreams } from '#core/bus'
import { type BusIdentity, type IdentityRequest, signBusUser, signRunToken } from '#core/identity'
import { sendIn } from '#core/journal'
import { startNats } from '../test/support/nats.ts'
import { freePort } from '../test/support/ports.ts'
import { bodyOf, listen } from './http.ts'

/** The bridge of a run and the gateway behind it, as processes of their own; where a model call enters. */
export interface Chain {
  /** Ends in /v1. */
  baseURL: string
  key: string
  close(): Promise<void>
}

const run = { namespace: 'bench', instance: 'bench', uid: 'bench-run' }
const key = 'bench-bridge-key-0123456789'
const provider = { name: 'bench', model: 'bench', secret: 'bench' }

/**
 * Starts the programs of a model call alone: nats-server, gateway and bridge. Their two other neighbours are played by
 * this process: the API server that holds one Secret, and the endpoint that trades identities. Throws where a bundle
 * is missing.
 */
export async function startChain(upstream: string): Promise<Chain> {
  const folder = await mkdtemp(join(tmpdir(), 'k8sclaw-bench-'))
  const nats = await startNats()
  const neighbours: Server[] = []
  const programs: ChildProcess[] = []
  const close = async () => {
    for (const program of programs) program.kill('SIGKILL')
    for (const server of neighbours) {
      server.closeAllConnections()
      server.close()
    }
    await nats.close()
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const privatePem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    const keyFile = join(folder, 'run-token.public.pem')
    await writeFile(keyFile, publicKey.export({ type: 'spki', format: 'pem' }))
    for (const kind of ['gateway', 'bridge']) await writeFile(join(folder, `${kind}.token`), kind)

    const identity = createServer((request, response) => {
      void bodyOf(request).then((text) => {
        const { userPublicKey } = JSON.parse(text) as IdentityRequest
        const kind = request.headers.authorization === 'Bearer bridge' ? 'bridge' : 'gateway'
        const who: BusIdentity = kind === 'bridge' ? { kind, run } : { kind }
        const expiresAt = new Date(Date.now() + 3_600_000)
        const claims = { ...run, run: 'bench', attempt: 1, provider: provider.name, secretRef: provider.secret }
        response.end(
          JSON.stringify({
            busJwt: signBusUser({ keys: nats.keys, userPublicKey, name: kind, identity: who, expiresAt }),
            runToken: signRunToken(privatePem, {
              ...claims,
              models: [provider.model],
              exp: (expiresAt.getTime() / 1000) | 0,
            }),
            expiresAt: expiresAt.toISOString(),
          }),
        )
      })
    })
    const data = Object.entries({ apiKey: 'bench', baseURL: `${upstream}/v1` })
    const secret = {
      data: Object.fromEntries(data.map(([name, value]) => [name, Buffer.from(value).toString('base64')])),
    }
    const kubernetes = createServer((_, response) => {
      response.end(JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata: { name: provider.secret }, ...secret }))
    })
    neighbours.push(identity, kubernetes)
    const identityUrl = await listen(identity)
    const kubeconfig = join(folder, 'kubeconfig')
    const server = await listen(kubernetes)
    await writeFile(
      kubeconfig,
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'c',
        clusters: [{ name: 'c', cluster: { server } }],
        users: [{ name: 'c', user: { token: 'bench' } }],
        contexts: [{ name: 'c', context: { cluster: 'c', user: 'c' } }],
      }),
    )

    const controller = await nats.connect({ kind: 'controller' })
    await ensureStreams(controller)
    await ensureRunConsumers(controller, run)
    await sendIn(controller, run, taskMessage())

    const common = { EVENT_BUS_URL: nats.url, K8SCLAW_IDENTITY_URL: identityUrl, LOG_LEVEL: 'error' }
    const gatewayUrl = `http://127.0.0.1:${await freePort()}`
    programs.push(
      start('gateway', {
        ...common,
        K8SCLAW_LISTEN: gatewayUrl.slice('http://'.length),
        K8SCLAW_TOKEN_FILE: join(folder, 'gateway.token'),
        K8SCLAW_RUN_TOKEN_KEY_FILE: keyFile,
        KUBECONFIG: kubeconfig,
      }),
    )
    const bridgeUrl = `http://127.0.0.1:${await freePort()}`
    const ipc = join(folder, 'ipc')
    await mkdir(join(ipc, 'input'), { recursive: true })
    programs.push(
      start('bridge', {
        ...common,
        K8SCLAW_RUN_UID: run.uid,
        K8SCLAW_NAMESPACE: run.namespace,
        K8SCLAW_INSTANCE: run.instance,
        K8SCLAW_ATTEMPT: '1',
        K8SCLAW_IPC_DIR: ipc,
        K8SCLAW_WORKSPACE: folder,
        K8SCLAW_SKILLS_DIR: folder,
        K8SCLAW_TOKEN_FILE: join(folder, 'bridge.token'),
        K8SCLAW_GATEWAY_URL: gatewayUrl,
        K8SCLAW_LISTEN: bridgeUrl.slice('http://'.length),
        K8SCLAW_BRIDGE_KEY: key,
      }),
    )
    await Promise.all([gatewayUrl, bridgeUrl].map(untilReady))
    return { baseURL: `${bridgeUrl}/openai/v1`, key, close }
  } catch (error) {
    await close()
    throw error
  }
}

function taskMessage(): Parameters<typeof sendIn>[2] {
  const limits = { timeoutSeconds: 3_600, maxSteps: 1_000_000, maxTokens: 1_000_000_000 }
  const model = { provider: provider.name, name: provider.model }
  return {
    type: 'task',
    task: {
      version: 1,
      run: 'bench',
      ...run,
      agent: 'default',
      attempt: 1,
      task: 'be measured',
      model,
      history: [],
      tools: [],
      skills: [],
      files: [],
      limits,
    },
    effective: {
      agent: 'default',
      model,
      image: 'none',
      policy: { name: '', generation: 0 },
      toolGating: { defaultAction: 'deny', rules: [] },
      featureGates: {},
      limits,
      resources: { requests: { cpu: '50m', memory: '96Mi' }, limits: { memory: '2Gi' } },
      subagents: { maxDepth: 2, maxConcurrent: 5, maxChildrenPerAgent: 3 },
      isolation: 'none',
    },
  }
}

function start(program: string, env: Record<string, string>): ChildProcess {
  const bundle = resolve(import.meta.dirname, '..', 'dist', `${program}.mjs`)
  if (!existsSync(bundle)) throw new Error(`dist/${program}.mjs is missing: run make build`)
  return spawn(process.execPath, [bundle], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}

async function untilReady(url: string): Promise<void> {
  for (let waited = 0; waited < 15_000; waited += 50) {
    const response = await fetch(`${url}/readyz`).catch(() => undefined)
    await response?.body?.cancel()
    if (response?.ok) return
    await sleep(50)
  }
  throw new Error(`${url} was not ready in time`)
}
