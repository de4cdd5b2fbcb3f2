import * as z from 'zod'
import { ClawError } from '#core/errors'
import { ServiceError } from '../frame/index.ts'
import { toServiceError } from './refusals.ts'
import type { Variables } from './settings.ts'

const callMs = 30_000
/** Where Meta keeps what people send. */
const metaFiles = 'https://lookaside.fbsbx.com'
/** No answer of the calls made here is nearly as long. */
const maxAnswer = 262_144

const refusal = z.object({
  error: z.object({ message: z.string(), code: z.number(), error_subcode: z.number().optional() }),
})
const usage = z.record(
  z.string(),
  z.array(z.object({ type: z.string(), estimated_time_to_regain_access: z.number().min(0) })),
)

/** The number of the bot at Meta's Graph API: asked about, and posted to. */
export class Graph {
  readonly #api: string
  readonly #number: string
  readonly #authorization: string

  constructor({ WHATSAPP_API_URL, WHATSAPP_PHONE_NUMBER_ID, WHATSAPP_ACCESS_TOKEN }: Variables) {
    this.#api = WHATSAPP_API_URL.replace(/\/$/, '')
    this.#number = WHATSAPP_PHONE_NUMBER_ID
    this.#authorization = `Bearer ${WHATSAPP_ACCESS_TOKEN}`
  }

  /** What the number itself is, by the names of its fields. */
  async number(fields: readonly string[], signal: AbortSignal): Promise<unknown> {
    return await this.#call(`${this.#api}/${this.#number}?fields=${fields.join()}`, { method: 'GET' }, signal)
  }

  /** What Meta knows of a file that came to this number; `id` is digits. */
  async file(id: string, signal: AbortSignal): Promise<unknown> {
    return await this.#call(`${this.#api}/${id}?phone_number_id=${this.#number}`, { method: 'GET' }, signal)
  }

  /** Stores a file for messages of this number. */
  async upload(form: FormData, signal: AbortSignal): Promise<unknown> {
    return await this.#call(`${this.#api}/${this.#number}/media`, { method: 'POST', body: form }, signal)
  }

  /** Where files lie, and what is said there of who asks. */
  get files(): { origins: readonly string[]; authorization: string } {
    return { origins: [new URL(this.#api).origin, metaFiles], authorization: this.#authorization }
  }

  /** Sends a message, or a word about one. */
  async messages(content: object, signal: AbortSignal): Promise<unknown> {
    const body = JSON.stringify({ messaging_product: 'whatsapp', ...content })
    const headers = { 'content-type': 'application/json' }
    return await this.#call(`${this.#api}/${this.#number}/messages`, { method: 'POST', headers, body }, signal)
  }

  async #call(url: string, init: RequestInit, signal: AbortSignal): Promise<unknown> {
    const response = await fetch(url, {
      ...init,
      headers: { ...init.headers, authorization: this.#authorization },
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(callMs)]),
    }).catch((error: unknown) => {
      throw unanswered(error)
    })
    const answer = await bodyOf(response)
    if (response.ok && answer !== undefined) return answer
    const { status } = response
    const refused = refusal.safeParse(answer)
    // A page of a proxy in the place of an answer is no word of Meta's.
    if (!refused.success)
      throw new ServiceError('later', 'Outage', `WhatsApp answers with the status ${status} and no JSON.`)
    const { code, error_subcode: subcode, message } = refused.data.error
    throw toServiceError({ code, subcode, message, status, afterMs: pauseOf(response.headers) })
  }
}

async function bodyOf(response: Response): Promise<unknown> {
  const chunks: Uint8Array[] = []
  let size = 0
  try {
    for await (const chunk of response.body ?? []) {
      size += chunk.length
      if (size > maxAnswer) return undefined
      chunks.push(chunk)
    }
    return JSON.parse(Buffer.concat(chunks).toString())
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw unanswered(error)
  }
}

/** Minutes that Meta names to who has used up what an account may ask in an hour. */
function pauseOf(headers: Headers): number | undefined {
  try {
    const read = usage.parse(JSON.parse(headers.get('x-business-use-case-usage') ?? ''))
    const minutes = Math.max(
      0,
      ...Object.values(read).flatMap((all) => all.map((one) => one.estimated_time_to_regain_access)),
    )
    return minutes > 0 ? minutes * 60_000 : undefined
  } catch {
    return undefined
  }
}

/** Without its cause, which may hold what was sent. */
function unanswered(error: unknown): ClawError {
  const { cause } = error instanceof Error ? error : {}
  const word = cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : ''
  return new ClawError('unavailable', `WhatsApp does not answer${/^[A-Z_]+$/.test(word) ? ` (${word})` : ''}`)
}
