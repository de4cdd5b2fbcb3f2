import { appendFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import {
  type AgentEvent,
  type AnswerFile,
  answerFile,
  type CancelFile,
  cancelFile,
  Folder,
  type FollowupFile,
  firstIssue,
  followupFile,
  limits,
  type ResultFile,
  type TaskFile,
  takeFollowup,
  taskFile,
  watchFolder,
} from '#core/ipc'

/** An answer of 256 KiB may be six times as long once it is escaped; a task has its history besides. */
const maxFileBytes = 16 * 1024 * 1024
/** Readable by the group, which the bridge is in and no other container's user is. */
const fileMode = 0o640

/**
 * The agent's side of /ipc: waits for the task, sends calls and waits for their answers, any number at once, and tells
 * when the run is cancelled. The bridge is trusted here; that files appear late, or not at all, is not a fault.
 */
export class Mailbox {
  readonly #ipcDir: string
  readonly #waiting = new Map<string, (answer: AnswerFile) => void>()
  #input: Folder | undefined
  #results: Folder | undefined
  #tools: Folder | undefined
  #output: Folder | undefined
  /** How many followups were taken. */
  #followups = 0

  constructor(ipcDir: string) {
    this.#ipcDir = ipcDir
  }

  /** The task, once the bridge has written it. Throws where it is not one of version 1. */
  async task(signal: AbortSignal): Promise<TaskFile> {
    let task: TaskFile | undefined
    const found = new AbortController()
    await this.#watchInput(
      (input) => {
        const value = readJson(input, 'task.json')
        if (value === undefined) return
        const parsed = taskFile.safeParse(value)
        if (!parsed.success) throw new Error(`task.json: ${firstIssue(parsed.error)}`)
        task = parsed.data
        found.abort()
      },
      AbortSignal.any([signal, found.signal]),
    )
    if (!task) throw new Error('stopped before there was a task')
    return task
  }

  /** The cancellation, if one comes before the signal aborts. */
  async cancellation(signal: AbortSignal): Promise<CancelFile | undefined> {
    let cancel: CancelFile | undefined
    const found = new AbortController()
    await this.#watchInput(
      (input) => {
        const value = readJson(input, 'cancel.json')
        if (value === undefined) return
        // Whatever is in it, that it is there means: stop.
        cancel = cancelFile.safeParse(value).data ?? { reason: 'cancelled', graceSeconds: 0 }
        found.abort()
      },
      AbortSignal.any([signal, found.signal]),
    )
    return cancel
  }

  /** Delivers answers to `call` until the signal aborts. */
  async deliver(signal: AbortSignal): Promise<void> {
    this.#results ??= Folder.open(join(this.#ipcDir, 'input', 'results'))
    const results = this.#results
    await watchFolder(results, () => this.#scan(results), signal)
  }

  /** Asks the bridge to perform a tool; rejects only when the signal aborts first. */
  async call(request: { id: string; tool: string; input: unknown }, signal: AbortSignal): Promise<AnswerFile> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<AnswerFile>()
    const stop = () => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    this.#waiting.set(request.id, resolve)
    try {
      const content = JSON.stringify(request)
      if (Buffer.byteLength(content) > limits.fileBytes) {
        const message = `the call is larger than ${limits.fileBytes} bytes`
        return { id: request.id, ok: false, error: { code: 'invalid_input', message } }
      }
      this.#tools ??= makeFolder(this.#ipcDir, 'tools')
      this.#tools.write(`${request.id}.json`, content, fileMode)
      return await promise
    } finally {
      this.#waiting.delete(request.id)
      signal.removeEventListener('abort', stop)
    }
  }

  /** What was said to the run since this was last called, in order: taken, so that nobody else answers it. */
  async followups(signal: AbortSignal): Promise<FollowupFile[]> {
    this.#input ??= Folder.open(join(this.#ipcDir, 'input'))
    const taken: FollowupFile[] = []
    for (;;) {
      const number = this.#followups + 1
      const followup = followupFile.safeParse(readJson(this.#input, `followup-${number}.json`))
      if (!followup.success) return taken
      const answer = await this.call({ id: `followup-${number}`, tool: takeFollowup, input: { number } }, signal)
      if (!answer.ok) return taken
      this.#followups = number
      taken.push(followup.data)
    }
  }

  /** Tells followers of the run something that is not the model's text. */
  say(event: AgentEvent): void {
    this.#output ??= makeFolder(this.#ipcDir, 'output')
    appendFileSync(join(this.#ipcDir, 'output', 'events.jsonl'), `${JSON.stringify(event)}\n`, { mode: fileMode })
  }

  /** Ends the agent's work; the first result is the one that counts. */
  finish(result: ResultFile): void {
    this.#output ??= makeFolder(this.#ipcDir, 'output')
    this.#output.write('result.json', JSON.stringify(result), fileMode)
  }

  close(): void {
    for (const folder of [this.#input, this.#results, this.#tools, this.#output]) folder?.close()
  }

  #scan(results: Folder): void {
    for (const [id, resolve] of this.#waiting) {
      const value = readJson(results, `${id}.json`)
      if (value === undefined) continue
      const parsed = answerFile.safeParse(value)
      const message = `the answer is not of the contract: ${parsed.error ? firstIssue(parsed.error) : ''}`
      resolve(parsed.data ?? { id, ok: false, error: { code: 'failed', message } })
    }
  }

  async #watchInput(look: (input: Folder) => void, signal: AbortSignal): Promise<void> {
    const input = Folder.open(join(this.#ipcDir, 'input'))
    try {
      await watchFolder(input, () => look(input), signal)
    } finally {
      input.close()
    }
  }
}

function makeFolder(ipcDir: string, name: string): Folder {
  mkdirSync(join(ipcDir, name), { recursive: true })
  return Folder.open(join(ipcDir, name))
}

/** undefined where there is no such file; files of the bridge appear whole. */
function readJson(folder: Folder, name: string): unknown {
  const content = folder.read(name, maxFileBytes)
  if (content === 'absent') return undefined
  if (typeof content === 'string') throw new Error(`${name}: ${content}`)
  return JSON.parse(content.bytes.toString())
}
