import { setTimeout as sleep } from 'node:timers/promises'
import * as z from 'zod'
import type { Bus } from '#core/bus'
import { errorMessage, isClawError } from '#core/errors'
import { firstIssue, limits, tools } from '#core/ipc'
import {
  type Answer,
  type EmbeddedMemories,
  embeddedAtOnce,
  embeddedMemories,
  embeddingCall,
  type InMessage,
  type Meaning,
  meaning,
  sendIn,
} from '#core/journal'
import {
  addVectors,
  chooseSpace,
  type FoundMemory,
  forgetMemory,
  type HeldBy,
  memoryHolder,
  type RecordEntry,
  searchMemories,
  storeMemory,
  unembedded,
} from '#core/store'
import { memoryCallsUnderWay, memoryCallsWaiting } from '../metrics.ts'
import { type MemoryOptions, Meaning as Vectors } from './meaning.ts'

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
  meaning: meaning.optional(),
})
type MemoryCall = z.infer<typeof memoryCall>['call'] & { attempt: number; meaning?: Meaning | undefined }
type Reply = Pick<AnswerMessage, 'answer' | 'unembedded'>
type AnswerMessage = Extract<InMessage, { type: 'answer' }>

/** What a bridge had embedded. */
const embeddedEntry = z.object({
  kind: z.literal('answered'),
  callId: z.string().startsWith(embeddingCall.prefix),
  answer: z.object({ ok: z.literal(true), output: embeddedMemories }),
})

type PerformMemory = (entry: RecordEntry, holder: HeldBy, call: MemoryCall, signal: AbortSignal) => Promise<Answer>

/** What begins the names of the tools that are performed here. */
export const memoryTools = 'memory_'

/**
 * Performs the memory calls that stand in the record and answers them into the inbox of their runs. Performing one again
 * changes nothing, so a replica that takes over may perform what it finds without an answer.
 */
export class MemoryPerformer {
  readonly meaning: Vectors
  readonly #options: PerformerOptions
  readonly #waiting: (() => Promise<void>)[] = []
  /** By instance, vectors that are being kept. */
  readonly #keeping = new Map<string, Promise<void>>()
  #busy = 0

  constructor(options: PerformerOptions) {
    this.#options = options
    this.meaning = new Vectors(options)
    // One in the life of this program.
    memoryCallsWaiting.watch({}, () => this.#waiting.length)
    memoryCallsUnderWay.watch({}, () => this.#busy)
  }

  /** Sees to the memory calls among these entries, without being waited for. */
  take(bus: Bus, entries: readonly RecordEntry[], signal: AbortSignal): void {
    const { now = () => new Date(), log } = this.#options
    for (const entry of entries) {
      if (entry.kind !== 'journal' || now().getTime() - entry.at.getTime() > memoryFreshMs) continue
      const embedded = embeddedEntry.safeParse(entry.body)
      if (embedded.success) {
        // What finds no room is asked for again at a later call.
        if (this.#waiting.length < maxWaiting) this.#takeVectors(entry, embedded.data.answer.output, signal)
        continue
      }
      const read = memoryCall.safeParse(entry.body)
      if (!read.success) continue
      const call = { ...read.data.call, attempt: read.data.attempt, meaning: read.data.meaning }
      const { namespace, instance, run: uid } = entry
      const message = { type: 'answer' as const, callId: call.id, attempt: call.attempt }
      const reply = async (said: Reply) => {
        await sendIn(bus, { namespace, instance, uid }, { ...message, ...said }, signal).catch((error: unknown) => {
          if (!signal.aborted) log.warn({ run: uid, error: errorMessage(error) }, 'memory call not answered')
        })
      }
      const kept = this.#keeping.get(`${namespace}/${instance}`)
      if (this.#waiting.length >= maxWaiting) void reply({ answer: notOk('too_many', 'too many memory calls at once') })
      else
        this.#waiting.push(async () => {
          await kept
          const answer = await this.#answer(entry, call, signal)
          // Whoever holds the lease next finds it without an answer.
          if (!signal.aborted) await reply(answer)
        })
    }
    while (this.#busy < atOnce && this.#waiting.length > 0) void this.#work()
  }

  /** Calls of that instance that come after wait until these are kept: so a run finds what the one before it had embedded. */
  #takeVectors(entry: RecordEntry, made: EmbeddedMemories, signal: AbortSignal): void {
    const place = `${entry.namespace}/${entry.instance}`
    const { promise, resolve } = Promise.withResolvers<void>()
    const kept = Promise.all([this.#keeping.get(place), promise]).then(() => {
      if (this.#keeping.get(place) === kept) this.#keeping.delete(place)
    })
    this.#keeping.set(place, kept)
    this.#waiting.push(async () => {
      await this.#keepVectors(entry, made, signal)
      resolve()
    })
  }

  async #work(): Promise<void> {
    this.#busy++
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) await next()
    this.#busy--
  }

  /** The answer of one call; never throws. It is tried again while the database does not answer and somebody waits. */
  async #answer(entry: RecordEntry, call: MemoryCall, signal: AbortSignal): Promise<Reply> {
    const { now = () => new Date(), log } = this.#options
    for (;;) {
      try {
        return await this.#perform(entry, call, signal)
      } catch (error) {
        if (error instanceof z.ZodError) return { answer: notOk('invalid_input', firstIssue(error)) }
        if (isClawError(error, 'forbidden')) return { answer: notOk('denied', error.message) }
        if (isClawError(error, 'gone') || isClawError(error, 'too_large'))
          return { answer: notOk('failed', error.message) }
        if (!signal.aborted)
          log.warn({ run: entry.run, tool: call.tool, error: errorMessage(error) }, 'memory call failed')
      }
      await sleep(retryMs, undefined, { signal }).catch(() => {})
      if (signal.aborted || now().getTime() - entry.at.getTime() > memoryFreshMs)
        return { answer: notOk('failed', 'the memory cannot be reached') }
    }
  }

  async #perform(entry: RecordEntry, call: MemoryCall, signal: AbortSignal): Promise<Reply> {
    const { store } = this.#options
    const holder = await memoryHolder(store, entry)
    if (!holder || holder.over) return { answer: notOk('failed', 'the run is over, or its session was deleted') }
    const chosen = await chooseSpace(store, holder)
    const answer = await this.#performers[call.tool](entry, holder, { ...call, input: call.input ?? {} }, signal)
    return { answer, ...(chosen && (await this.#wanting(holder))) }
  }

  readonly #performers: Record<MemoryCall['tool'], PerformMemory> = {
    memory_store: async (entry, holder, call, signal) => {
      const { content, scope, expiresInDays } = tools.memory_store.input.parse(call.input)
      const expiresAt = expiresInDays === undefined ? undefined : new Date(entry.at.getTime() + expiresInDays * dayMs)
      // What the model of an instance makes comes after: the bridge is told which memories want it.
      const asked = holder.space === undefined && holder.owners[scope] !== undefined
      const vector = asked ? await this.meaning.of(content, signal) : undefined
      const { id, known } = await storeMemory(this.#options.store, holder, {
        ...{ scope, content, expiresAt, vector },
        ...{ run: entry.run, attempt: call.attempt, call: call.id, at: entry.at },
      })
      return { ok: true, output: { id, scope, known } }
    },
    memory_search: async (_, holder, call, signal) => {
      const { now = () => new Date(), store } = this.#options
      const { query, scope, limit } = tools.memory_search.input.parse(call.input)
      const { space } = holder
      const vector = await (space ? this.meaning.made(space, call.meaning) : this.meaning.of(query, signal))
      const found = await searchMemories(store, holder, { text: query, vector, scope, limit, now: now() })
      return fitting(found, vector ? ['meaning', 'words'] : ['words'])
    },
    memory_forget: async ({ at }, holder, call) => {
      const { id } = tools.memory_forget.input.parse(call.input)
      return { ok: true, output: { id, forgotten: await forgetMemory(this.#options.store, holder, { id, at }) } }
    },
  }

  /** What the model of the instance is to make vectors of, so that it is found by its meaning the next time. */
  async #wanting(holder: HeldBy): Promise<Pick<Reply, 'unembedded'>> {
    const { now = () => new Date(), store } = this.#options
    if (!holder.space || !(await this.meaning.hasRoom(holder.space))) return {}
    const memories = await unembedded(store, holder, embeddedAtOnce, now())
    return memories.length > 0 ? { unembedded: memories } : {}
  }

  /** Never throws: what is lost here is asked for again at the next memory call. A run may be over by now. */
  async #keepVectors(entry: RecordEntry, { memories, ...space }: EmbeddedMemories, signal: AbortSignal): Promise<void> {
    const { store, log } = this.#options
    try {
      const holder = await memoryHolder(store, entry)
      if (!holder?.space || !(await chooseSpace(store, holder))) return
      const { space: own } = holder
      const made = memories.map(async ({ id, vector }) => {
        const kept = await this.meaning.made(own, { ...space, vector })
        return kept ? [{ id, vector: kept }] : []
      })
      await addVectors(store, (await Promise.all(made)).flat(), holder)
    } catch (error) {
      if (!signal.aborted) log.warn({ run: entry.run, error: errorMessage(error) }, 'vectors of memories not kept')
    }
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
