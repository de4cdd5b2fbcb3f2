import { type ChildProcess, spawn } from 'node:child_process'
import { type ExecInput, limits, type Performed } from '#core/ipc'
import { Capture, clip } from './capture.ts'
import { Refusal } from './refusal.ts'
import type { Workspace } from './workspace.ts'

/** Between asking a process group to stop and killing it. */
const termGraceMs = 2_000
/** How long output may still come after the command has ended and its group was killed. */
const drainMs = 1_000

export interface ExecOptions {
  workspace: Workspace
  /** The whole environment of the command. */
  env: Record<string, string>
  /** Aborts when nobody waits for the answer any more. */
  signal: AbortSignal
}

/**
 * Runs one command in a process group of its own. The group ends with the command, with its time, or with `signal`,
 * whichever comes first, so that nothing a call started goes on behind its answer. (A process that leaves the group on
 * purpose lives until the container ends; it does not hold up the answer.)
 */
export async function exec(input: ExecInput, options: ExecOptions): Promise<Performed> {
  options.signal.throwIfAborted()
  const cwd = options.workspace.folderPath(input.cwd ?? '.')
  const child = await start(input, cwd, options.env)
  const group = child.pid
  if (group === undefined) throw new Refusal('failed', 'the command did not start')

  const stdout = new Capture(limits.outputBytes)
  const stderr = new Capture(limits.outputBytes)
  child.stdout?.on('data', (chunk: Buffer) => stdout.add(chunk))
  child.stderr?.on('data', (chunk: Buffer) => stderr.add(chunk))
  // A command that does not read its input closes the pipe: no fault of anybody.
  child.stdin?.on('error', () => {})
  child.stdin?.end(input.stdin ?? '')

  let timedOut = false
  const stop = () => stopGroup(child, group)
  const timer = setTimeout(() => {
    timedOut = true
    stop()
  }, input.timeoutSeconds * 1_000)
  options.signal.addEventListener('abort', stop, { once: true })
  if (options.signal.aborted) stop()
  const { code, signal } = await ended(child, group)
  clearTimeout(timer)
  options.signal.removeEventListener('abort', stop)

  if (options.signal.aborted) throw new Refusal('failed', 'stopped before it ended')

  const output = { exitCode: code, ...(signal ? { signal } : {}), ...joint(stdout, stderr) }
  if (timedOut) return { ok: false, error: { code: 'timeout', message: timeoutMessage(input, output) } }
  const { truncated, ...rest } = output
  return { ok: true, output: rest, ...(truncated ? { truncated } : {}) }
}

/** Resolves once the process exists; its failure to start is the caller's, not ours. */
function start(input: ExecInput, cwd: string, env: Record<string, string>): Promise<ChildProcess> {
  const [command, args] =
    input.script === undefined ? [input.command ?? '', input.args ?? []] : ['/bin/sh', ['-c', input.script]]
  return new Promise((resolve, reject) => {
    const refuse = (cause: unknown) => {
      const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
      if (code === 'ENOENT') reject(new Refusal('failed', `no such command: ${command}`, { cause }))
      else if (code === 'E2BIG')
        reject(new Refusal('invalid_input', 'the arguments are too long for this system', { cause }))
      else reject(new Refusal('failed', `cannot run ${command}: ${String(code ?? cause)}`, { cause }))
    }
    try {
      // detached: setsid(2), so that the process leads a group by which all it starts can be killed.
      const child = spawn(command, args, { cwd, env, detached: true, stdio: ['pipe', 'pipe', 'pipe'] })
      child.once('spawn', () => resolve(child))
      child.on('error', refuse)
    } catch (error) {
      refuse(error)
    }
  })
}

/** The end of the command and of its output; what is left of its group is killed. */
function ended(child: ChildProcess, group: number): Promise<{ code: number | null; signal: string | null }> {
  return new Promise((resolve) => {
    let drain: NodeJS.Timeout | undefined
    child.once('exit', () => {
      kill(group, 'SIGKILL')
      drain = setTimeout(() => {
        child.stdout?.destroy()
        child.stderr?.destroy()
      }, drainMs)
    })
    child.once('close', (code, signal) => {
      clearTimeout(drain)
      resolve({ code, signal })
    })
  })
}

function stopGroup(child: ChildProcess, group: number): void {
  kill(group, 'SIGTERM')
  const timer = setTimeout(() => kill(group, 'SIGKILL'), termGraceMs)
  child.once('exit', () => clearTimeout(timer))
}

function kill(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal)
  } catch {
    // ESRCH: nobody of the group is left.
  }
}

/** Both streams within the limit of one answer: each may use what the other leaves. */
function joint(stdout: Capture, stderr: Capture): { stdout: string; stderr: string; truncated: boolean } {
  const half = limits.outputBytes >> 1
  const errors = stderr.text(limits.outputBytes)
  const main = stdout.text(Math.max(half, limits.outputBytes - Buffer.byteLength(errors.text)))
  const rest = clip(errors.text, limits.outputBytes - Buffer.byteLength(main.text))
  return { stdout: main.text, stderr: rest.text, truncated: main.truncated || errors.truncated || rest.truncated }
}

function timeoutMessage(input: ExecInput, output: { stdout: string; stderr: string }): string {
  const said = clip([output.stdout, output.stderr].filter(Boolean).join('\n'), 4_000).text
  const what = `killed after ${input.timeoutSeconds} s`
  return said ? `${what}; its output until then:\n${said}` : `${what}, without output`
}
