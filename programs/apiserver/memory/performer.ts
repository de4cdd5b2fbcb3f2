import { setTimeout as sleep } from 'node:timers/promises'
import * as z from 'zod'
import type { Bus } from '#core/bus'
import { errorMessage, isClawError } from '#core/errors'
import { firstIssue, limits, tools } from '#core/ipc'
import { type Answer, sendIn } from '#core/journal'
import {
  type FoundMemory,
  forgetMemory,
  type MemoryHolder,
  memoryHolder,
  type RecordEntry,
  searchMemories,
  storeMemory,
} from '#core/store'
import { memoryCallsUnderWay, memoryCallsWaiting } from '../metrics.ts'
import { Meaning, type MemoryOptions } from './meaning.ts'

export interface PerformerOptions extends MemoryOptions {
  now?: () => Date
}

/** Of all runs, performed at once. */
const atOnce = 8
/** Waiting for their turn; a call beyond is refused at once rather than too late. */
const maxWaiting = 1_000
/** A bridge waits no longer than this, so what was asked before is not performed any more. */
export const memoryFreshMs = 30_000
const retryMs = 1_000
const dayMs = 24 * 60 * 60 * 1000

/** As much of a journal's entry as is looked at; what the bridge allowed, and nothing else, is performed. */
const memoryCall = z.object({
  kind: z.literal('called'),
  attempt: z.int(),
  call: z.object({
    id: z.string(),
    tool: z.enum(['memory_store', 'memory_search', 'memory_forget']),
    input: z.unknown(),
  }),
  verdict: z.object({ action: z.literal('allow') }),
})
type MemoryCall = z.infer<typeof memoryCall>['call'] & { attempt: number }

/** What begins the names of the tools that are performed here. */
export const memoryTools = 'memory_'

/**
 * Performs the memory calls that stand in the record and answers them into the inbox of their runs. Performing one again
 * changes nothing, so a replica that takes over may perform what it finds without an answer.
 */
export class MemoryPerformer {
  readonly meaning: Meaning
  readonly #options: PerformerOptions
  readonly #waiting: (() => Promise<void>)[] = []
  #busy = 0

  constructor(options: PerformerOptions) {
    this.#options = options
    this.meaning = new Meaning(options)
    // One in the life of this program.
    memoryCallsWaiting.watch({}, () => this.#waiting.length)
    memoryCallsUnderWay.watch({}, () => this.#busy)
  }

  /** Sees to the memory calls among these entries, without being waited for. */
  take(bus: Bus, entries: readonly RecordEntry[], signal: AbortSignal): void {
    const { now = () => new Date(), log } = this.#options
    for (const entry of entries) {
      if (entry.kind !== 'journal' || now().getTime() - entry.at.getTime() > memoryFreshMs) continue
      const read = memoryCall.safeParse(entry.body)
      if (!read.success) continue
      const call = { ...read.data.call, attempt: read.data.attempt }
      const { namespace, instance, run: uid } = entry
      const message = { type: 'answer' as const, callId: call.id, attempt: call.attempt }
      const reply = async (answer: Answer) => {
        await sendIn(bus, { namespace, instance, uid }, { ...message, answer }, signal).catch((error: unknown) => {
          if (!signal.aborted) log.warn({ run: uid, error: errorMessage(error) }, 'memory call not answered')
        })
      }
      if (this.#waiting.length >= maxWaiting) void reply(notOk('too_many', 'too many memory calls at once'))
      else
        this.#waiting.push(async () => {
          const answer = await this.#answer(entry, call, signal)
          // Whoever holds the lease next finds it without an answer.
          if (!signal.aborted) await reply(answer)
        })
    }
    while (this.#busy < atOnce && this.#waiting.length > 0) void this.#work()
  }

  async #work(): Promise<void> {
    this.#busy++
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) await next()
    this.#busy--
  }

  /** The answer of one call; never throws. It is tried again while the database does not answer and somebody waits. */
  async #answer(entry: RecordEntry, call: MemoryCall, signal: AbortSignal): Promise<Answer> {
    const { now = () => new Date(), log } = this.#options
    for (;;) {
      try {
        return await this.#perform(entry, call, signal)
      } catch (error) {
        if (error instanceof z.ZodError) return notOk('invalid_input', firstIssue(error))
        if (isClawError(error, 'forbidden')) return notOk('denied', error.message)
        if (isClawError(error, 'gone') || isClawError(error, 'too_large')) return notOk('failed', error.message)
        if (!signal.aborted)
          log.warn({ run: entry.run, tool: call.tool, error: errorMessage(error) }, 'memory call failed')
      }
      await sleep(retryMs, undefined, { signal }).catch(() => {})
      if (signal.aborted || now().getTime() - entry.at.getTime() > memoryFreshMs)
        return notOk('failed', 'the memory cannot be reached')
    }
  }

  async #perform(entry: RecordEntry, call: MemoryCall, signal: AbortSignal): Promise<Answer> {
    const holder = await memoryHolder(this.#options.store, entry)
    if (!holder) return notOk('failed', 'the run is over, or its session was deleted')
    const input = call.input ?? {}
    if (call.tool === 'memory_store') return await this.#store(entry, holder, { ...call, input }, signal)
    if (call.tool === 'memory_search') return await this.#search(holder, input, signal)
    return await this.#forget(entry, holder, input)
  }

  async #store(entry: RecordEntry, holder: MemoryHolder, call: MemoryCall, signal: AbortSignal): Promise<Answer> {
    const { content, scope, expiresInDays } = tools.memory_store.input.parse(call.input)
    const expiresAt = expiresInDays === undefined ? undefined : new Date(entry.at.getTime() + expiresInDays * dayMs)
    const vector = holder.owners[scope] === undefined ? undefined : await this.meaning.of(content, signal)
    const { id, known } = await storeMemory(this.#options.store, holder, {
      ...{ scope, content, expiresAt, vector },
      ...{ run: entry.run, attempt: call.attempt, call: call.id, at: entry.at },
    })
    return { ok: true, output: { id, scope, known } }
  }

  async #search(holder: MemoryHolder, input: unknown, signal: AbortSignal): Promise<Answer> {
    const { now = () => new Date(), store } = this.#options
    const { query, scope, limit } = tools.memory_search.input.parse(input)
    const vector = await this.meaning.of(query, signal)
    const found = await searchMemories(store, holder, { text: query, vector, scope, limit, now: now() })
    return fitting(found, vector ? ['meaning', 'words'] : ['words'])
  }

  async #forget({ at }: RecordEntry, holder: MemoryHolder, input: unknown): Promise<Answer> {
    const { id } = tools.memory_forget.input.parse(input)
    return { ok: true, output: { id, forgotten: await forgetMemory(this.#options.store, holder, { id, at }) } }
  }
}

/** The answer, without the last of what was found where all of it would be too much. */
function fitting(found: readonly FoundMemory[], searchedBy: readonly string[]): Answer {
  const memories = found.map(({ id, content, scope, score, run, call, createdAt, expiresAt }) => ({
    ...{ id, content, scope, score: Number(score.toPrecision(4)) },
    ...{ storedBy: { run, call, at: createdAt.toISOString() } },
    ...(expiresAt && { expiresAt: expiresAt.toISOString() }),
  }))
  const output = { memories, searchedBy }
  while (Buffer.byteLength(JSON.stringify(output)) > limits.outputBytes) memories.pop()
  return { ok: true, output, ...(memories.length < found.length && { truncated: true }) }
}

function notOk(code: Extract<Answer, { ok: false }>['error']['code'], message: string): Answer {
  return { ok: false, error: { code, message } }
}
