/**
 * One run in the hands of its real programs, for tests: the bridge and the sandbox as processes, a nats-server with the
 * run's consumers, an identity endpoint that signs what it is asked, a folder for /ipc and one for the workspace.
 * `close` leaves no process and no file.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import {
  appendFileSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { vi } from 'vitest'
import { type Bus, deleteRunConsumers, ensureRunConsumers, ensureStreams } from '#core/bus'
import { type RunAddress, signBusUser } from '#core/identity'
import type { AnswerFile } from '#core/ipc'
import { type Entry, type RunRecord, readRun, sendIn, type TaskMessage } from '#core/journal'
import type { TestNats } from './nats.ts'
import { freePort } from './ports.ts'

export { portOn } from '../../programs/gateway/bus-port.ts'

const root = join(import.meta.dirname, '..', '..')
export const bridgeKey = 'the-key-of-this-bridge-in-tests'

export interface BridgeRig {
  run: RunAddress
  ipcDir: string
  workspace: string
  /** Where the agent finds its skills. */
  skillsDir: string
  /** Of the bridge's HTTP server. */
  url: string
  controller: Bus
  /** Starts the bridge, again after `kill9` or `stop`; resolves once it serves. */
  start(): Promise<ChildProcess>
  kill9(): Promise<void>
  /** SIGTERM, and the exit status. */
  stop(): Promise<number | null>
  record(): Promise<RunRecord>
  /** Entries of the journal of one kind. */
  entries<K extends Entry['kind']>(kind: K): Promise<Extract<Entry, { kind: K }>[]>
  /** What the agent does: a request, written as the contract asks. */
  request(id: string, tool: string, input: unknown): void
  /** A file under /ipc, made whole at once. */
  put(path: string, content: string | Uint8Array): void
  answer(id: string): AnswerFile | undefined
  result(response: string): void
  /** What somebody does who may write the ConfigMap. */
  changeSkill(key: string, content: string): void
  say(text: string): void
  close(): Promise<void>
}

export interface RigOptions {
  nats: TestNats
  gatewayUrl?: string
  /** Given the run, the token for the gateway. */
  runToken?: (run: RunAddress) => string
  /** Changes what was resolved for the run. */
  effective?: Partial<TaskMessage['effective']>
  sandbox?: boolean
  /** The model of the run; the demo model without. */
  model?: { provider: string; name: string }
  /** The conversation that the run belongs to. */
  sessionKey?: string
  /** The chat that the run answers, with what it brings. */
  chat?: NonNullable<TaskMessage['chat']>
  /** The skills as they are mounted: content by key. */
  skillFiles?: Record<string, string>
  /** Runs the bridge as this user, in group 10000; only root can. */
  bridgeUid?: number
}

let count = 0

export async function startBridgeRig(options: RigOptions): Promise<BridgeRig> {
  const { nats, sandbox: hasSandbox = true } = options
  const home = mkdtempSync(join(tmpdir(), 'k8sclaw-bridge-'))
  const ipcDir = join(home, 'ipc')
  const workspace = join(home, 'workspace')
  const socket = join(home, 'sandbox.sock')
  mkdirSync(ipcDir)
  mkdirSync(workspace)
  const skills = { sources: join(home, 'skill-sources'), out: join(home, 'skills') }
  for (const folder of Object.values(skills)) mkdirSync(folder)
  for (const [key, content] of Object.entries(options.skillFiles ?? {}))
    writeFileSync(join(skills.sources, key), content)
  writeFileSync(join(home, 'token'), 'projected')
  if (options.bridgeUid) for (const path of [home, ipcDir]) chownSync(path, options.bridgeUid, 10000)
  const run: RunAddress = { namespace: 'team', instance: 'bot', uid: `bridge-run-${process.pid}-${++count}` }
  const controller = await nats.connect({ kind: 'controller' })
  await ensureStreams(controller)
  await ensureRunConsumers(controller, run)
  const message = task(run, options)
  const wanted = message.effective.skills?.map(({ name, description, key }) => ({
    name,
    description,
    path: `/skills/${key}`,
  }))
  await sendIn(controller, run, wanted ? { ...message, task: { ...message.task, skills: wanted } } : message)

  const policy = options.effective?.policy?.name ?? 'test'
  const identity = createServer((incoming, response) => {
    let text = ''
    incoming.on('data', (chunk) => {
      text += String(chunk)
    })
    incoming.on('end', () => {
      const { userPublicKey } = JSON.parse(text) as { userPublicKey: string }
      const expiresAt = new Date(Date.now() + 3_600_000)
      const user = { name: 'bridge', identity: { kind: 'bridge', run, policy } as const, userPublicKey, expiresAt }
      const busJwt = signBusUser({ keys: nats.keys, ...user })
      const runToken = options.runToken?.(run) ?? 'run-token'
      response.end(JSON.stringify({ busJwt, runToken, expiresAt: expiresAt.toISOString() }))
    })
  })
  const port = await freePort()
  const identityUrl = await new Promise<string>((resolve) =>
    identity.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${(identity.address() as AddressInfo).port}`)),
  )
  const children = new Set<ChildProcess>()
  const launch = (program: string, env: Record<string, string>, ready: string) => {
    const started = new Promise<ChildProcess>((resolve, reject) => {
      const child = spawn(process.execPath, [join(root, 'programs', program, 'main.ts')], {
        // Where what it is compiled to may be kept is no part of what a test says of it (build/test.ts).
        env: { PATH: process.env.PATH ?? '', NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE, ...env },
        ...(program === 'bridge' && options.bridgeUid ? { uid: options.bridgeUid, gid: 10000 } : {}),
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      children.add(child)
      // Also one that does not serve yet can be killed.
      if (program === 'bridge') bridge = child
      let said = ''
      child.stderr.on('data', (chunk) => {
        said += String(chunk)
        if (said.includes(`"msg":"${ready}"`)) resolve(child)
      })
      child.once('exit', (code) => {
        children.delete(child)
        reject(new Error(`${program} ended with ${code}: ${said}`))
      })
    })
    // A test that fails before it waits for this has one failure to tell of, not two.
    started.catch(() => undefined)
    return started
  }
  let bridge: ChildProcess | undefined
  const sandbox = hasSandbox
    ? await launch('sandbox', { K8SCLAW_SANDBOX_SOCKET: socket, K8SCLAW_WORKSPACE: workspace }, 'ready')
    : undefined

  const put = (path: string, content: string | Uint8Array) => {
    const temporary = join(ipcDir, path, '..', '.agent.tmp')
    writeFileSync(temporary, content, { mode: 0o660 })
    renameSync(temporary, join(ipcDir, path))
  }
  const rig: BridgeRig = {
    run,
    ipcDir,
    workspace,
    skillsDir: skills.out,
    url: `http://127.0.0.1:${port}`,
    controller,
    async start() {
      const env = {
        K8SCLAW_RUN_UID: run.uid,
        K8SCLAW_NAMESPACE: run.namespace,
        K8SCLAW_INSTANCE: run.instance,
        K8SCLAW_IPC_DIR: ipcDir,
        K8SCLAW_SKILL_SOURCES_DIR: skills.sources,
        K8SCLAW_SKILLS_OUT_DIR: skills.out,
        ...(hasSandbox ? { K8SCLAW_SANDBOX_SOCKET: socket } : {}),
        K8SCLAW_TOKEN_FILE: join(home, 'token'),
        K8SCLAW_IDENTITY_URL: identityUrl,
        EVENT_BUS_URL: nats.url,
        K8SCLAW_GATEWAY_URL: options.gatewayUrl ?? 'http://127.0.0.1:9',
        K8SCLAW_LISTEN: `127.0.0.1:${port}`,
        K8SCLAW_BRIDGE_KEY: bridgeKey,
      }
      return await launch('bridge', env, 'serving')
    },
    kill9: async () => void (await end(bridge, 'SIGKILL')),
    stop: () => end(bridge, 'SIGTERM'),
    record: () => readRun(controller, run, AbortSignal.timeout(10_000)),
    async entries<K extends Entry['kind']>(kind: K) {
      const { entries } = await rig.record()
      return entries.filter((entry): entry is Extract<Entry, { kind: K }> => entry.kind === kind)
    },
    put,
    request: (id, tool, input) => put(`tools/${id}.json`, JSON.stringify({ id, tool, input })),
    answer(id) {
      const path = join(ipcDir, 'input', 'results', `${id}.json`)
      return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as AnswerFile) : undefined
    },
    result: (response) => put('output/result.json', JSON.stringify({ status: 'success', response })),
    changeSkill: (key, content) => writeFileSync(join(skills.sources, key), content),
    say: (text) =>
      appendFileSync(join(ipcDir, 'output', 'events.jsonl'), `${JSON.stringify({ type: 'text', text })}\n`),
    async close() {
      for (const child of [bridge, sandbox, ...children]) await end(child, 'SIGKILL')
      // The bus may have been away a moment ago, and this connection be about to notice.
      await vi.waitFor(() => deleteRunConsumers(controller, run), { timeout: 30_000, interval: 100 })
      await new Promise((resolve) => identity.close(resolve))
      rmSync(home, { recursive: true, force: true })
    },
  }
  return rig
}

function task(
  { namespace, instance, uid }: RunAddress,
  { effective: over, sessionKey, chat, model = { provider: 'demo', name: 'demo' } }: RigOptions,
): TaskMessage {
  const effective: TaskMessage['effective'] = {
    agent: 'default',
    model,
    image: 'k8sclaw/agent:dev',
    policy: { name: 'test', generation: 1 },
    toolGating: { defaultAction: 'allow', rules: [] },
    featureGates: { 'code-execution': true, 'file-access': true },
    limits: { timeoutSeconds: 600, maxSteps: 64, maxTokens: 1_000_000 },
    resources: { requests: { cpu: '50m', memory: '96Mi' }, limits: { memory: '2Gi' } },
    subagents: { maxDepth: 2, maxConcurrent: 5, maxChildrenPerAgent: 3 },
    isolation: 'none',
    ...over,
  }
  return {
    type: 'task',
    effective,
    ...(chat && { chat }),
    task: {
      version: 1,
      run: 'a-run',
      uid,
      namespace,
      instance,
      agent: 'default',
      ...(sessionKey !== undefined && { sessionKey }),
      attempt: 1,
      task: 'do it',
      model,
      history: [],
      tools: [],
      skills: [{ name: 'git', description: 'how to', path: '/skills/git.md' }],
      files: [],
      limits: effective.limits,
    },
  }
}

async function end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<number | null> {
  if (!child) return null
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  return await new Promise((resolve) => {
    child.once('exit', resolve)
    child.kill(signal)
  })
}
