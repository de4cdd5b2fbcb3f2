import type { IncomingMessage } from 'node:http'
import * as z from 'zod'
import { errorMessage } from '#core/errors'
import {
  type Answer,
  type Call,
  type EmbeddedMemories,
  embeddingCall,
  encodeVector,
  type Meaning,
  type TaskMessage,
  type Unembedded,
  type Verdict,
} from '#core/journal'
import type { Logger } from '#core/telemetry'
import { type Boundary, notOk, type Performed } from './boundary.ts'
import { type Gateway, tokensOf } from './gateway-client.ts'
import { judgeTokens, type Limits } from './model-calls.ts'
import { sha256 } from './tool-calls.ts'

export interface EmbedderOptions {
  boundary: Boundary
  gateway: Gateway
  limits: Limits
  /** The model of the instance. */
  embeddings: NonNullable<NonNullable<TaskMessage['effective']['memory']>['embeddings']>
  log: Logger
}

/** Whoever waits for a memory waits no longer for its vector. */
const patienceMs = 10_000
const maxReplyBytes = 4 * 1024 * 1024

const errorReply = z.object({ error: z.object({ message: z.string() }) })

/**
 * Has a model of the run's instance make vectors, by which memories are compared. Each request is a call like any other:
 * judged, recorded, performed by the gateway, recorded, and counted in what the run may use. Where it fails memories are
 * found by their words, and what has no vector is asked for again at the next memory call.
 */
export class Embedder {
  readonly #options: EmbedderOptions
  readonly #model: string
  /** Memories that are being embedded, or were. */
  readonly #seenTo = new Set<string>()
  #useless = false

  constructor(options: EmbedderOptions) {
    this.#options = options
    this.#model = `${options.embeddings.provider}/${options.embeddings.name}`
  }

  /** What the query of a call means; undefined where that cannot be had. */
  async meaningOf(callId: string, query: string): Promise<Meaning | undefined> {
    if (this.#useless) return undefined
    const { dimensions } = this.#options.embeddings
    const space = { model: this.#model, dimensions }
    let vector: string | undefined
    await this.#cross([query], { query: callId }, ([made]) => {
      vector = made
      // It stands with the call that it is made for.
      return space
    })
    return vector === undefined ? undefined : { ...space, vector }
  }

  /** Takes note of what came of a search: there are databases that compare no vectors. */
  heard(answer: Answer): void {
    const { searchedBy } = (answer.ok ? answer.output : {}) as { searchedBy?: unknown }
    if (Array.isArray(searchedBy) && !searchedBy.includes('meaning')) this.#useless = true
  }

  /** Has vectors made of memories that have none; what is recorded of it is kept with them. Never throws. */
  async makeUp(memories: Unembedded): Promise<void> {
    const wanted = memories.filter(({ id }) => !this.#seenTo.has(id))
    if (wanted.length === 0) return
    for (const { id } of wanted) this.#seenTo.add(id)
    const ids = wanted.map(({ id }) => id)
    const { dimensions } = this.#options.embeddings
    const answer = await this.#cross(
      wanted.map(({ content }) => content),
      { memories: ids },
      (vectors): EmbeddedMemories => ({
        ...{ model: this.#model, dimensions },
        memories: vectors.map((vector, i) => ({ id: ids[i] ?? '', vector })),
      }),
    )
    if (!answer?.ok) for (const id of ids) this.#seenTo.delete(id)
  }

  async #cross(
    texts: readonly string[],
    input: object,
    output: (vectors: string[]) => object,
  ): Promise<Answer | undefined> {
    const { boundary, limits, embeddings, log } = this.#options
    const { name, dimensions, shortened } = embeddings
    const asked = { model: name, input: texts, encoding_format: 'float', ...(shortened && { dimensions }) }
    const body = Buffer.from(JSON.stringify(asked))
    const { ledger } = boundary
    const id = `${embeddingCall.prefix}${ledger.size + 1}`
    const call: Call = { id, tool: embeddingCall.tool, input, inputHash: sha256(body) }
    const { inputTokens, outputTokens } = ledger.usage
    const allow: Verdict = { action: 'allow', reason: `the instance has its memories compared by ${this.#model}` }
    const verdict = judgeTokens(inputTokens + outputTokens, limits) ?? allow
    const perform = async (closed: AbortSignal) => await this.#ask(body, texts.length, output, closed)
    try {
      return await boundary.cross({ call, verdict, perform })
    } catch (thrown) {
      log.warn({ tool: call.tool, error: errorMessage(thrown) }, 'vectors not recorded')
      return undefined
    }
  }

  async #ask(body: Buffer, count: number, output: (vectors: string[]) => object, closed: AbortSignal) {
    const until = AbortSignal.any([closed, AbortSignal.timeout(patienceMs)])
    const headers = { 'content-type': 'application/json' }
    try {
      const path = '/openai/v1/embeddings'
      const upstream = await this.#options.gateway.ask({ method: 'POST', path, headers, body }, until)
      const text = await textOf(upstream)
      const answer = this.#answerOf(upstream.statusCode ?? 502, text, count, output)
      return { answer, tokens: tokensOf(upstream) } satisfies Performed
    } catch (thrown) {
      return { answer: notOk(until.aborted ? 'timeout' : 'failed', errorMessage(thrown)) }
    }
  }

  #answerOf(status: number, text: string, count: number, output: (vectors: string[]) => object): Answer {
    if (status >= 400) {
      const said = errorReply.safeParse(jsonOf(text)).data?.error.message
      return notOk('failed', `the gateway answered ${status}${said === undefined ? '' : `: ${said.slice(0, 1_000)}`}`)
    }
    const { dimensions } = this.#options.embeddings
    const vector = z.array(z.number()).length(dimensions, `it gave other vectors than of ${dimensions} numbers`)
    const reply = z.object({ data: z.array(z.object({ index: z.int(), embedding: vector })).length(count) })
    const read = reply.safeParse(jsonOf(text))
    const byIndex = new Map(read.data?.data.map(({ index, embedding }) => [index, embedding]))
    const vectors = Array.from({ length: count }, (_, i) => byIndex.get(i))
    if (!vectors.every((made) => made !== undefined))
      return notOk('failed', `${this.#model}: ${read.error?.issues[0]?.message ?? 'it left a text without a vector'}`)
    return { ok: true, output: output(vectors.map(encodeVector)) }
  }
}

async function textOf(upstream: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of upstream as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > maxReplyBytes) throw new Error('the provider answered too much')
    chunks.push(chunk)
  }
  if (!upstream.complete) throw new Error('the answer was cut off')
  return Buffer.concat(chunks).toString()
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
