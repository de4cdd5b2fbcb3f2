/**
 * `make demo`: starts the platform on a data folder of its own, applies config/samples, lets the sample agent do a
 * task that thinks, runs a command, writes and reads a file and answers, prints what it cost in time, and stops
 * everything. Exits 0 exactly when the run Succeeded and nothing was left behind.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseAllDocuments } from 'yaml'
import { isClawError } from '#core/errors'
import { type AgentRun, agentRuns, isTerminal, type KubeObject, newRun, type Resource } from '#core/kinds'
import { type Kube, loadKube } from '#core/kube'
import { follow } from '../../programs/cli/follow.ts'
import { createTranscript } from '../../programs/cli/transcript.ts'

const root = resolve(import.meta.dirname, '..', '..')
const k8sclaw = join(root, 'bin', 'k8sclaw')
const task = 'Find out which system you run on, write what you found to report.txt, read it back, and tell me.'
const started = performance.now()
const stages: [string, number][] = []
/** Ctrl-C, or the end of the terminal: what was started is stopped all the same. */
const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => interrupted.abort(new Error(`interrupted by ${signal}`)))

const folder = mkdtempSync(join(tmpdir(), 'k8sclaw-demo-'))
const dataDir = join(folder, 'data')
let phase = 'Unknown'
let failure: unknown
try {
  console.log('== starting the platform (controller, webhook, API server, gateway, nats-server)')
  const said = await timed('platform ready', () =>
    command(['up', '--detach', '--data-dir', dataDir], interrupted.signal),
  )
  console.log(said.match(/^isolation: .*$/m)?.[0] ?? '')
  process.env.KUBECONFIG = join(dataDir, 'kubeconfig')
  const kube = await loadKube()
  console.log('== applying config/samples')
  await timed('samples applied', () => applySamples(kube))
  phase = await runTask(kube)
  kube.close()
} catch (error) {
  failure = interrupted.signal.aborted ? interrupted.signal.reason : error
} finally {
  console.log('== stopping')
  await timed('stopped', () => command(['down', '--data-dir', dataDir])).catch((error: unknown) => {
    failure ??= error
  })
  rmSync(folder, { recursive: true, force: true })
}

const left = processesOf(dataDir)
if (left.length > 0) failure ??= new Error(`processes were left behind: ${left.join(', ')}`)
console.log('\n== time of each stage')
for (const [name, ms] of stages) console.log(`${name.padEnd(28)} ${(ms / 1000).toFixed(2).padStart(7)} s`)
if (failure) console.error(`error: ${failure instanceof Error ? failure.message : String(failure)}`)
console.log(`phase: ${phase}`)
console.log(`wall time: ${((performance.now() - started) / 1000).toFixed(1)} s`)
process.exitCode = phase === 'Succeeded' && !failure ? 0 : 1

/** Creates an AgentRun beside the sample's, follows it to its outcome and prints status and usage. Resolves to the phase. */
async function runTask(kube: Kube): Promise<string> {
  console.log(`== task: ${task}`)
  const created = performance.now()
  const { metadata } = await kube.create<AgentRun>(agentRuns, newRun('default', { instance: 'sample', task }))
  const marks = new Map<string, number>()
  const mark = (name: string) => {
    if (!marks.has(name)) marks.set(name, performance.now() - created)
  }
  const limit = AbortSignal.any([interrupted.signal, AbortSignal.timeout(120_000)])
  const transcript = createTranscript((text) => process.stdout.write(text))
  const onWait = (text: string) => transcript({ type: 'status', data: { text } })
  for await (const event of follow(kube, { namespace: 'default', name: metadata.name }, limit, onWait)) {
    transcript(event)
    if (event.type === 'called')
      mark((event.data.call as { tool: string }).tool === 'model' ? 'first model request' : 'first tool call')
    if (event.type === 'text') mark('first text')
    if (event.type === 'outcome') mark('outcome')
  }
  const { status } = await terminal(kube, metadata.name, limit)
  mark('status written')
  for (const [name, ms] of marks) stages.push([`  run created to ${name}`, ms])
  console.log(`\nresult: ${status?.result ?? ''}${status?.error ? `error: ${status.error}` : ''}`)
  console.log(`usage: ${JSON.stringify(status?.usage ?? {})}`)
  return status?.phase ?? 'Unknown'
}

async function terminal(kube: Kube, name: string, limit: AbortSignal): Promise<AgentRun> {
  for (;;) {
    limit.throwIfAborted()
    const run = await kube.get<AgentRun>(agentRuns, { namespace: 'default', name })
    if (isTerminal(run.status?.phase)) return run
    await delay(20)
  }
}

/** Applies config/samples but its AgentRun, which the demo makes itself so that it can follow it from the start. */
async function applySamples(kube: Kube): Promise<void> {
  const samples = join(root, 'config', 'samples')
  for (const file of readdirSync(samples)
    .filter((name) => name.endsWith('.yaml'))
    .sort()) {
    for (const document of parseAllDocuments(readFileSync(join(samples, file), 'utf8'))) {
      const object = document.toJS() as KubeObject
      if (object.kind === 'AgentRun') continue
      await kube.create(resourceOf(object), object).catch((error: unknown) => {
        if (!isClawError(error, 'already_exists')) throw error
      })
    }
  }
}

function resourceOf({ apiVersion, kind }: KubeObject): Resource {
  const [group = '', version = ''] = apiVersion.split('/')
  const lower = kind.toLowerCase()
  return {
    group,
    version,
    kind,
    plural: lower.endsWith('y') ? `${lower.slice(0, -1)}ies` : `${lower}s`,
    namespaced: true,
  }
}

async function timed<T>(name: string, work: () => Promise<T>): Promise<T> {
  const start = performance.now()
  const result = await work()
  stages.push([name, performance.now() - start])
  return result
}

/** Runs the command line; throws with what it said when it fails. Told to stop by the signal, it stops by itself. */
function command(args: string[], signal?: AbortSignal): Promise<string> {
  return new Promise((done, fail) => {
    // In a process group of its own: Ctrl-C reaches it through this process, once.
    const child = spawn(k8sclaw, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    signal?.addEventListener('abort', () => child.kill(), { once: true })
    let out = ''
    let err = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text
    })
    child.on('error', fail)
    child.on('exit', (code) =>
      code === 0 ? done(out) : fail(new Error(`k8sclaw ${args[0]}: ${err.trim() || `exit ${code}`}`)),
    )
  })
}

/** Processes that still refer to the data folder, by their command line or working folder. */
function processesOf(path: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        return (
          readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(path) ||
          readlinkSync(`/proc/${pid}/cwd`).startsWith(path)
        )
      } catch {
        return false
      }
    })
}
