import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { stringify } from 'yaml'
import { kubectl as findKubectl } from '../../build/kubectl.ts'

const root = resolve(import.meta.dirname, '..', '..')
export const k8sclawBinary = join(root, 'bin', 'k8sclaw')

export interface Finished {
  code: number
  stdout: string
  stderr: string
}

/** Runs a program to its end, whatever its exit code. */
export function execute(
  file: string,
  args: string[],
  options: { input?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<Finished> {
  return new Promise((done) => {
    const child = execFile(
      file,
      args,
      { env: options.env ?? process.env, maxBuffer: 1 << 26, cwd: root },
      (error, stdout, stderr) => {
        done({ code: error ? (typeof error.code === 'number' ? error.code : 1) : 0, stdout, stderr })
      },
    )
    if (options.input !== undefined) child.stdin?.end(options.input)
  })
}

/** The whole platform on a data folder of its own, as a user starts it. */
export interface TestPlatform {
  dataDir: string
  url: string
  token: string
  isolation: string
  /** What `k8sclaw up` printed. */
  said: string
  env: NodeJS.ProcessEnv
  /** kubectl against it; throws with its message when it fails. */
  kubectl(args: string[], input?: string): Promise<string>
  /** kubectl, whatever its exit code. */
  tryKubectl(args: string[], input?: string): Promise<Finished>
  /** The command line against it, whatever its exit code. */
  k8sclaw(...args: string[]): Promise<Finished>
  /** `kubectl apply -f -`. */
  apply(...documents: object[]): Promise<string>
  getJson<T>(...args: string[]): Promise<T>
  /** An HTTP request to the API server of the platform with the admin's token. */
  fetch(path: string, init?: RequestInit): Promise<Response>
  /** Stops it and checks that nothing is left. */
  close(): Promise<void>
}

export interface PlatformOptions {
  dataDir?: string
  args?: string[]
  /** Of the platform; its clients have that of the test. */
  env?: NodeJS.ProcessEnv
}

/** Starts `k8sclaw up --detach` and waits until it is ready. */
export async function startTestPlatform(options: PlatformOptions = {}): Promise<TestPlatform> {
  const folder = options.dataDir ? undefined : mkdtempSync(join(tmpdir(), 'k8sclaw-e2e-'))
  const dataDir = options.dataDir ?? join(folder ?? '', 'data')
  const up = await execute(k8sclawBinary, ['up', '--detach', '--data-dir', dataDir, ...(options.args ?? [])], {
    env: { ...process.env, ...options.env },
  })
  if (up.code !== 0) {
    const log = readText(join(dataDir, 'platform.log')).split('\n').slice(-40).join('\n')
    throw new Error(`k8sclaw up failed: ${up.stderr}\n${log}`)
  }
  const field = (name: string) => up.stdout.match(new RegExp(`^${name}: (.*)$`, 'm'))?.[1] ?? ''
  const url = field('url')
  const token = field('token')
  const env = { ...process.env, KUBECONFIG: join(dataDir, 'kubeconfig') }
  const kubectl = findKubectl()
  const tryKubectl = (args: string[], input?: string) =>
    execute(kubectl, args, { env, ...(input === undefined ? {} : { input }) })
  const must = async (args: string[], input?: string) => {
    const result = await tryKubectl(args, input)
    if (result.code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${result.stderr}`)
    return result.stdout
  }
  return {
    dataDir,
    url,
    token,
    isolation: field('isolation').split(' ')[0] ?? '',
    said: up.stdout,
    env,
    kubectl: must,
    tryKubectl,
    k8sclaw: (...args) => execute(k8sclawBinary, args, { env }),
    apply: (...documents) => must(['apply', '-f', '-'], documents.map((d) => stringify(d)).join('---\n')),
    getJson: async <T>(...args: string[]) => JSON.parse(await must([...args, '-o', 'json'])) as T,
    fetch: (path, init = {}) =>
      fetch(`${url}${path}`, { ...init, headers: { Authorization: `Bearer ${token}`, ...init.headers } }),
    async close() {
      const down = await execute(k8sclawBinary, ['down', '--data-dir', dataDir])
      const left = processesOf(dataDir)
      if (folder) rmSync(folder, { recursive: true, force: true })
      if (down.code !== 0) throw new Error(`k8sclaw down failed: ${down.stderr}`)
      if (left.length > 0)
        throw new Error(`processes were left behind: ${left.map((p) => `${p.pid} ${p.command}`).join('; ')}`)
    },
  }
}

export interface FoundProcess {
  pid: number
  command: string
}

/** Processes whose command line, environment or working folder names the path. Root sees all; others see their own. */
export function processesOf(path: string): FoundProcess[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name) && Number(name) !== process.pid)
    .flatMap((name) => {
      const command = readText(`/proc/${name}/cmdline`).replaceAll('\0', ' ').trim()
      const touches =
        command.includes(path) ||
        readText(`/proc/${name}/environ`).includes(path) ||
        linkOf(`/proc/${name}/cwd`).startsWith(path)
      return touches && command !== '' ? [{ pid: Number(name), command }] : []
    })
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
