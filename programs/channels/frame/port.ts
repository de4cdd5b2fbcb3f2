import type { Health, Received } from '#core/channels'
import type { Logger } from '#core/telemetry'

/** Where something is said. */
export interface Place {
  chat: string
  /** Thread or topic inside the chat. */
  thread?: string | undefined
}

/** One message's worth of text: in the service's markup, and the same without any, for when the markup is refused. */
export interface Rendered {
  text: string
  plain: string
  /**
   * Of a text that is still being written and fits a message: as much of it as will stand, so that the next one begins
   * with this one as long as the text takes no other turn. For services that show a text as it grows.
   */
  growing?: string
}

/** How Markdown becomes what one service takes. */
export interface TextFormat {
  /**
   * The pieces in which it is said, each within the service's limit, at least one for text that is not blank. `growing`
   * text is still being written: what it leaves open is closed for now.
   */
  pieces(markdown: string, options?: { growing?: boolean }): Rendered[]
}

/** What goes with a message that is posted. */
export interface PostOptions {
  /** The message that it answers; a service that does not know that message any more posts without. */
  replyTo?: string | undefined
  /** The same whenever the same is posted again: for services that take an idempotency key. At most 64 characters. */
  key: string
  /** Say `plain`, because the service has refused the markup of it. */
  plain: boolean
  signal: AbortSignal
}

/** A file that the agent hands over. */
export interface HandedFile {
  /** Safe wherever a name is written; never empty. */
  name: string
  /** Its media type, by its content. */
  type: string
  bytes: Buffer
}

/** What a service is given by the frame. */
export interface Host {
  /**
   * Resolves once the message is stored on the bus, and only then may the service be told that it was taken. Also for a
   * message that the platform refuses, which is counted. Rejects when the channel stops.
   */
  received(message: Received): Promise<void>
  /** Counts what the service, or somebody in its name, delivered in no form that it documents. */
  malformed(): void
  /** What the service itself has just said about this bot. Say it as often as it says it. */
  health(health: Omit<Health, 'at'>): void
  readonly log: Logger
}

/** What a service knows again after a restart, for seven days. */
export interface Memory {
  /** Throws when the channel stops. */
  recall(name: string): Promise<readonly string[] | undefined>
  /** At most 256 words of at most 128 characters. Resolves once they are stored; rejects when the channel stops. */
  remember(name: string, words: readonly string[]): Promise<void>
}

/** A request to the channel's own address, of which nothing is trusted yet. */
export interface WebhookRequest {
  method: string
  /** Path and query. */
  url: URL
  headers: Headers
  /** As it was sent, for its signature; at most `maxWebhookBytes` of its service. */
  body: Buffer
}

export interface WebhookAnswer {
  status: number
  headers?: Record<string, string>
  body?: string
}

/**
 * One chat service, spoken to as one bot. It promises to know the service and nothing else: what is received it hands to
 * the host as it is, what it is told to say it says once and at once. It refuses to retry, to wait, to split and to
 * remember, which is the frame's part. Whatever fails throws a `ServiceError` where the service has said what is wrong,
 * and any other error where it has not answered.
 */
export interface ChatService {
  readonly format: TextFormat
  /** Least time between two calls about the same chat, milliseconds. */
  readonly paceMs: number
  /** How long a sign of typing is shown, milliseconds. */
  readonly typingMs: number
  /**
   * Receives until the signal aborts, then resolves. Where the connection is lost it comes back by itself, with back-off
   * and a word to `host.health`; it throws when the frame is to begin anew after a pause.
   */
  connect(host: Host, signal: AbortSignal, memory: Memory): Promise<void>
  /** Posts a message; gives how the service names it, by which it is edited. */
  post(place: Place, text: Rendered, options: PostOptions): Promise<string>
  /** Gives a message of ours other text; that it has this text already is no error. Absent where there is no editing. */
  edit?(place: Place, message: string, text: Rendered, options: Pick<PostOptions, 'plain' | 'signal'>): Promise<void>
  /** Shows that an answer is on its way. `replyTo` is what is being answered. */
  typing?(place: Place, options: { replyTo?: string | undefined; signal: AbortSignal }): Promise<void>
  /**
   * Opens what came with a message, by the `ref` that was received with it. The frame counts its bytes and cancels it
   * where they are too many. Throws a `ServiceError` `never` where the service has it no more, with reason `FileTooBig`
   * where it gives no file of that size. Absent where files are not handed over.
   */
  download?(ref: string, options: { signal: AbortSignal }): Promise<ReadableStream<Uint8Array>>
  /** Posts a file; gives how the service names the message. A `never` is about this file, and is said in the chat. */
  sendFile?(place: Place, file: HandedFile, options: Pick<PostOptions, 'replyTo' | 'key' | 'signal'>): Promise<string>
  /** Answers what is sent to `/webhook` of the channel. Absent where the service is asked. */
  webhook?(request: WebhookRequest): Promise<WebhookAnswer>
  /** How much the service sends to `/webhook` at once, bytes; 1 MiB where it does not say. */
  readonly maxWebhookBytes?: number
}
