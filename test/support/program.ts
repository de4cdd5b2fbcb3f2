import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** How long anything may take to start; a busy machine needs half of it. */
const startMs = 120_000

/** A process that a test started, with its output in a file of `folder`. */
export class Program {
  readonly name: string
  readonly #log: string
  readonly #process: ChildProcess
  readonly #ended: Promise<void>
  readonly #onExit: () => void
  #failure: string | undefined

  /** `within` is a command that becomes the program, in another network namespace for example. */
  constructor(
    path: string,
    args: string[],
    folder: string,
    env: NodeJS.ProcessEnv = process.env,
    within: string[] = [],
  ) {
    this.name = basename(path)
    this.#log = join(folder, `${this.name}.log`)
    const output = openSync(this.#log, 'w')
    const [file = path, ...rest] = [...within, path, ...args]
    this.#process = spawn(file, rest, { cwd: folder, env, stdio: ['ignore', output, output] })
    closeSync(output)
    this.#ended = new Promise((resolve) => {
      this.#process.once('error', (error) => {
        this.#failure = `${this.name} cannot be started: ${error.message}`
        resolve()
      })
      this.#process.once('exit', (code, signal) => {
        this.#failure = `${this.name} ended with ${code ?? signal}`
        resolve()
      })
    })
    // A test that dies of an error of its own must not leave the program behind.
    this.#onExit = () => this.#process.kill('SIGKILL')
    process.once('exit', this.#onExit)
  }

  /** Waits until it is ready; throws, with the end of what it said, where it ends before or takes too long. */
  async until(isReady: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + startMs
    while (!(await isReady().catch(() => false))) {
      if (this.#failure) throw new Error(`${this.#failure}:\n${await this.#said()}`)
      if (Date.now() > deadline) throw new Error(`${this.name} was not ready in time:\n${await this.#said()}`)
      await sleep(100)
    }
  }

  async #said(): Promise<string> {
    return (await readFile(this.#log, 'utf8')).slice(-4096)
  }

  /** Nothing that it holds is worth a graceful end, which a kube-apiserver takes many seconds for. */
  async stop(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#ended
    process.off('exit', this.#onExit)
  }
}
