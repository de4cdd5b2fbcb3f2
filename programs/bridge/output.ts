import * as z from 'zod'
import { errorMessage } from '#core/errors'
import {
  agentEvent,
  type Folder,
  faultText,
  firstIssue,
  limits,
  NotStrictJson,
  parseStrictJson,
  type ResultFile,
  readTail,
  resultFile,
  tailStart,
} from '#core/ipc'
import type { LiveMessage } from '#core/journal'

/** What the folder output/ leads to. */
export interface OutputReader {
  publish: (message: Omit<LiveMessage, 'attempt' | 'source'>) => void
  note: (code: string, message: string) => void
  /** Ordinal of the last model call. */
  step: () => number
  /** `writtenAt`: milliseconds since 1970, by the file. */
  result: (result: ResultFile, writtenAt: number) => void
}

/** All that one run may say in events.jsonl. */
const maxEventBytes = 8 * 1024 * 1024
/** What is not JSON yet may still be being written by one who does not rename. */
const settledMs = 500

const position = z.object({
  cursor: z.object({ identity: z.string(), at: z.int().min(0), inLongLine: z.boolean() }),
  step: z.int().min(0),
  offset: z.int().min(0),
})
const positionFile = '.events.json'

/** Reads the agent's folder output/: its events as they grow, and its result, of which the first valid one counts. */
export class Output {
  readonly #output: Folder
  readonly #input: Folder
  readonly #reader: OutputReader
  /** How far events.jsonl is published; in the bridge's own volume, so that one that was restarted goes on there. */
  #position: z.infer<typeof position>
  /** The result.json that was refused last, so that it is noted once. */
  #refused = ''
  #silenced = false

  constructor(output: Folder, input: Folder, reader: OutputReader) {
    this.#output = output
    this.#input = input
    this.#reader = reader
    this.#position = readPosition(input) ?? { cursor: tailStart, step: 0, offset: 0 }
  }

  scan(): void {
    this.#events()
    const found = this.#result()
    if (found) this.#reader.result(found.result, found.writtenAt)
  }

  #events(): void {
    if (this.#silenced) return
    for (;;) {
      const { lines, tooLong, cursor, more } = readTail(this.#output, 'events.jsonl', this.#position.cursor)
      if (cursor.at === this.#position.cursor.at && cursor.identity === this.#position.cursor.identity) return
      this.#position.cursor = cursor
      for (const line of lines) this.#publish(line)
      if (tooLong > 0) this.#reader.note('event_too_long', `events.jsonl: longer than ${limits.eventLineBytes} bytes`)
      // Kept after it is published: what is published twice has the same step and offset, and readers see it once.
      this.#input.write(positionFile, JSON.stringify(this.#position))
      if (cursor.at > maxEventBytes) {
        this.#silenced = true
        this.#reader.note('events_cut', `events.jsonl: nothing after ${maxEventBytes} bytes is published`)
        return
      }
      if (!more) return
    }
  }

  #publish(line: Buffer): void {
    try {
      const { type, text } = agentEvent.parse(parseStrictJson(line))
      const step = this.#reader.step()
      if (step !== this.#position.step) this.#position = { ...this.#position, step, offset: 0 }
      this.#reader.publish({ step, offset: this.#position.offset, kind: type, text })
      this.#position.offset += text.length
    } catch (thrown) {
      const why = thrown instanceof z.ZodError ? firstIssue(thrown) : errorMessage(thrown)
      this.#reader.note('refused_event', `events.jsonl: ${why}`)
    }
  }

  /** The result, if there is a valid one. */
  #result(): { result: ResultFile; writtenAt: number } | undefined {
    const content = this.#output.read('result.json', limits.fileBytes)
    if (content === 'absent') return undefined
    if (typeof content === 'string') return this.#refuse(content, faultText[content])
    const { identity, changedMs, bytes } = content
    try {
      const parsed = resultFile.safeParse(parseStrictJson(bytes))
      if (parsed.success) return { result: parsed.data, writtenAt: changedMs }
      return this.#refuse(`${identity}:${changedMs}`, firstIssue(parsed.error))
    } catch (thrown) {
      const age = Date.now() - changedMs
      if (thrown instanceof NotStrictJson && Math.abs(age) < settledMs) return undefined
      return this.#refuse(`${identity}:${changedMs}`, errorMessage(thrown))
    }
  }

  #refuse(which: string, why: string): undefined {
    if (this.#refused === which) return
    this.#refused = which
    this.#reader.note('refused_file', `output/result.json: ${why}`)
  }
}

function readPosition(input: Folder) {
  const content = input.read(positionFile, 4096)
  return typeof content === 'string' ? undefined : position.safeParse(parseStrictJson(content.bytes)).data
}
