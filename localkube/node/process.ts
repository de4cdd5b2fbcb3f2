/** Starts a container as a process of this machine and ends it with everything that it started. */
import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, constants, readFileSync, statSync } from 'node:fs'
import type { Server } from 'node:net'
import { dirname } from 'node:path'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Confinement, confinedArgs, unconfinedArgs } from './confinement.ts'
import { withoutInherited } from './descriptors.ts'
import { forwarderNode, forwarding, leadTo } from './forward.ts'
import type { Image } from './images.ts'
import { dropTo, type Isolation } from './isolation.ts'
import { type Rewriting, rewriter } from './rewriting.ts'
import { nodeVariable } from './survivors.ts'

export interface Launch extends Confinement {
  isolation: Isolation
  /** Of the node. */
  dataDir: string
  image: Image
  command: string[]
  env: Record<string, string>
  rewriting: Omit<Rewriting, 'paths'>
  /** Ports of the pod's other containers, for an image with forwardPorts. */
  forwardPorts: number[]
}

export interface ContainerProcess {
  readonly pid: number
  readonly stdout: Readable
  readonly stderr: Readable
  /** Resolves once the process and its output have ended: its exit code, 128 + n after signal n. */
  readonly exited: Promise<number>
  /** Asks the container's first program to end. */
  terminate(): Promise<void>
  /** Ends everything in the container at once. */
  kill(): void
  /** Runs a command in the container, as its user; the exit code. */
  execute(command: string[], timeoutMs: number): Promise<number>
}

/** Rejects when the process cannot even be made. */
export async function launch(plan: Launch): Promise<ContainerProcess> {
  return plan.isolation.kind === 'bubblewrap' ? inBubblewrap(plan, plan.isolation.bwrap) : plain(plan)
}

async function inBubblewrap(plan: Launch, bwrap: string): Promise<ContainerProcess> {
  const { image, root, identity } = plan
  const drop = root && identity ? dropTo(identity) : []
  const forwards = image.confined && image.forwardPorts === true && plan.forwardPorts.length > 0
  let { env, command } = plan
  let options: string[]
  /** Where its addresses are this machine's, they are rewritten; inside, paths are what they say. */
  let paths: ReadonlyMap<string, string> | undefined = image.hostNetwork ? new Map() : undefined
  if (image.confined) {
    const node = { source: process.execPath, target: forwarderNode, readOnly: true }
    const network = image.hostNetwork ? 'host' : 'own'
    options = confinedArgs({ ...plan, network, mounts: forwards ? [...plan.mounts, node] : plan.mounts })
  } else {
    const outside = unconfinedArgs(plan)
    options = outside.args
    paths = outside.paths
  }
  if (paths) {
    const rewrite = rewriter({ ...plan.rewriting, paths })
    env = mapValues(env, rewrite)
    command = command.map(rewrite)
  }
  const split = splitLoaderVariables(env)
  command = [...split.prefix, ...command]
  if (forwards) command = forwarding(plan.forwardPorts, command)
  options.push('--clearenv', ...Object.entries(split.env).flatMap(([k, v]) => ['--setenv', k, v]))
  if (forwards) options.push('--setenv', 'NODE_CHANNEL_FD', '5')

  // Options travel by a descriptor: on the command line the environment would be readable by every user.
  const child = spawn(bwrap, ['--info-fd', '3', '--args', '4', '--', ...drop, ...command], {
    stdio: withoutInherited(['ignore', 'pipe', 'pipe', 'pipe', 'pipe', ...(forwards ? (['ipc'] as const) : [])]),
    env: { [nodeVariable]: plan.dataDir },
    detached: true,
    cwd: '/',
  })
  const started = spawned(child)
  const servers = forwards ? acceptServers(child, plan) : []
  const init = initOf(child)
  const optionPipe = child.stdio[4]
  if (optionPipe && 'write' in optionPipe) {
    optionPipe.on('error', () => undefined)
    optionPipe.end(Buffer.from(options.map((o) => `${o}\0`).join('')))
  }
  await started
  /** The container's first program. For some milliseconds there is none: its world is being made. */
  const program = async () => {
    const target = await init
    while (target !== undefined && child.exitCode === null && child.signalCode === null) {
      const first = firstChild(target)
      if (first !== undefined) return first
      await sleep(5)
    }
    return undefined
  }
  const enter = image.confined && !image.hostNetwork ? ['-m', '-n', '-p', '-i', '-u'] : ['-m', '-p', '-i']
  return {
    ...streams(child),
    exited: ended(child).finally(() => {
      for (const server of servers) server.close()
    }),
    async terminate() {
      const first = await program()
      if (first !== undefined) signal(first, 'SIGTERM')
    },
    kill() {
      signal(-(child.pid ?? 0), 'SIGKILL')
    },
    async execute(words, timeoutMs) {
      const target = (await program()) && (await init)
      if (target === undefined) return 126
      const user = root ? [] : ['-U', '--preserve-credentials']
      const args = ['-t', String(target), ...user, ...enter, ...drop, ...split.prefix, ...words]
      return run('/usr/bin/nsenter', args, split.env, timeoutMs)
    },
  }
}

/** Isolation none: a process like any other of this machine, in a session of its own. */
async function plain(plan: Launch): Promise<ContainerProcess> {
  const paths = new Map(plan.mounts.map((m) => [m.target, m.source]))
  const rewrite = rewriter({ ...plan.rewriting, paths })
  const { env, prefix } = splitLoaderVariables(mapValues(plan.env, rewrite))
  const command = plan.command.map(rewrite)
  const reachable = [...paths.values(), command[0] ?? ''].every(othersReach)
  const drop = plan.root && plan.identity && reachable ? dropTo(plan.identity) : ['/usr/bin/setpriv']
  const child = spawn('/usr/bin/setpriv', [...drop.slice(1), '--pdeathsig', 'KILL', '--', ...prefix, ...command], {
    stdio: withoutInherited(['ignore', 'pipe', 'pipe']),
    env: { ...env, [nodeVariable]: plan.dataDir },
    detached: true,
    cwd: rewrite(plan.workingDir),
  })
  await spawned(child)
  return {
    ...streams(child),
    exited: ended(child),
    terminate: async () => signal(child.pid ?? 0, 'SIGTERM'),
    kill: () => signal(-(child.pid ?? 0), 'SIGKILL'),
    execute: (words, timeoutMs) => {
      const args = [...drop.slice(1), '--', ...prefix, ...words.map(rewrite)]
      return run('/usr/bin/setpriv', args, env, timeoutMs)
    },
  }
}

/**
 * Variables that change how programs load are set last, by env(1), once no privilege is left that they could steal.
 * The prefix also finds the command on the container's own PATH.
 */
function splitLoaderVariables(env: Record<string, string>): { env: Record<string, string>; prefix: string[] } {
  const isLoader = ([name]: [string, string]) => name.startsWith('LD_') || name === 'GLIBC_TUNABLES'
  const entries = Object.entries(env)
  return {
    env: Object.fromEntries(entries.filter((e) => !isLoader(e))),
    prefix: ['/usr/bin/env', ...entries.filter(isLoader).map(([k, v]) => `${k}=${v}`)],
  }
}

function acceptServers(child: ChildProcess, plan: Launch): Server[] {
  const servers: Server[] = []
  child.on('message', (message, handle) => {
    const port = (message as { port?: unknown }).port
    if (!handle || !('listen' in handle) || typeof port !== 'number' || !plan.forwardPorts.includes(port)) return
    const server = handle as Server
    server.on('error', () => undefined)
    leadTo(server, plan.rewriting.podIP, port)
    servers.push(server)
  })
  return servers
}

/** bubblewrap says which process is the first of the new namespace. */
function initOf(child: ChildProcess): Promise<number | undefined> {
  const pipe = child.stdio[3] as Readable | null | undefined
  if (!pipe) return Promise.resolve(undefined)
  return new Promise((resolve) => {
    let text = ''
    pipe.setEncoding('utf8')
    pipe.on('data', (chunk: string) => {
      text += chunk
      const pid = text.match(/"child-pid"\s*:\s*(\d+)/)?.[1]
      if (pid) resolve(Number(pid))
    })
    pipe.on('error', () => resolve(undefined))
    pipe.on('close', () => resolve(undefined))
  })
}

function streams(child: ChildProcess): { pid: number; stdout: Readable; stderr: Readable } {
  const { pid, stdout, stderr } = child
  if (pid === undefined || !stdout || !stderr) throw new Error('the process has no id or no output')
  return { pid, stdout, stderr }
}

function spawned(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', reject)
  })
}

/** `close` follows `exit` once the output is read to its end; a background process may hold the output open. */
function ended(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.once('exit', () => signal(-(child.pid ?? 0), 'SIGKILL'))
    child.once('close', (code, name) => resolve(code ?? 128 + (name ? (signalNumbers[name] ?? 0) : 0)))
  })
}

const signalNumbers: Partial<Record<NodeJS.Signals, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGABRT: 6,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
}

function signal(pid: number, name: NodeJS.Signals): void {
  if (pid === 0) return
  try {
    process.kill(pid, name)
  } catch {
    // It has ended already, which is what the signal was for.
  }
}

function run(program: string, args: string[], env: Record<string, string>, timeoutMs: number): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      env,
      stdio: withoutInherited(['ignore', 'ignore', 'ignore']),
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      cwd: '/',
    })
    child.once('error', () => resolve(126))
    child.once('exit', (code) => resolve(code ?? 137))
  })
}

function mapValues(record: Record<string, string>, change: (value: string) => string): Record<string, string> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]))
}

/** Whether other users can go to a path: every folder above it lets them pass. */
function othersReach(path: string): boolean {
  if (!path.startsWith('/')) return true
  try {
    accessSync(path, constants.F_OK)
    for (let folder = dirname(path); ; folder = dirname(folder)) {
      if ((statSync(folder).mode & 0o001) === 0) return false
      if (folder === '/') return true
    }
  } catch {
    return false
  }
}

/** The oldest child of a process: of bubblewrap's init, the container's first program. */
export function firstChild(pid: number): number | undefined {
  try {
    const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
    return first ? Number(first) : undefined
  } catch {
    return undefined
  }
}
