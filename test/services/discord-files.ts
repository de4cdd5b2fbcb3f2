/** Discord's CDN, for the stand-in: files at signed addresses, which whoever knows them may read for a while. */
import { createHmac } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'

/** https://docs.discord.com/developers/resources/message#attachment-object */
export interface DiscordAttachment {
  id: string
  filename: string
  size: number
  content_type: string
  url: string
  proxy_url: string
}

/** What is sent with a form: the JSON part, and the files under the numbers by which it names them. */
export interface Form {
  body: unknown
  files: ReadonlyMap<string, { name: string; type: string; bytes: Buffer }>
}

export class Cdn {
  readonly #url: () => string
  readonly #files = new Map<string, Buffer>()
  /** Addresses that were given out before are good no more once this has grown. */
  #age = 1

  constructor(url: () => string) {
    this.#url = url
  }

  keep(channel: string, id: string, filename: string, type: string, bytes: Buffer): DiscordAttachment {
    const path = `/attachments/${channel}/${id}/${encodeURIComponent(filename)}`
    this.#files.set(path, bytes)
    const url = this.#addressOf(path)
    return { id, filename, size: bytes.length, content_type: type, url, proxy_url: url }
  }

  bytes({ url }: Pick<DiscordAttachment, 'url'>): Buffer | undefined {
    return this.#files.get(new URL(url).pathname)
  }

  /** As it is with addresses after a day. */
  expire(): void {
    this.#age++
  }

  /** The same file under the address that it has now, as whoever reads its message again is given it. */
  refreshed(file: DiscordAttachment): DiscordAttachment {
    const url = this.#addressOf(new URL(file.url).pathname)
    return { ...file, url, proxy_url: url }
  }

  /** Addresses lead nowhere any more. */
  forget(): void {
    this.#files.clear()
  }

  /** Answers for what lies here; the bot has no business to say who it is. */
  serve(request: IncomingMessage, response: ServerResponse): boolean {
    const { pathname, searchParams } = new URL(request.url ?? '/', this.#url())
    if (!pathname.startsWith('/attachments/')) return false
    const bytes = this.#files.get(pathname)
    const isSigned = searchParams.get('hm') === this.#sign(pathname)
    const status = request.headers.authorization !== undefined || !isSigned ? 403 : bytes ? 200 : 404
    response.writeHead(status).end(status === 200 ? bytes : undefined)
    return true
  }

  #addressOf(path: string): string {
    return `${this.#url()}${path}?ex=ffffffff&is=${this.#age}&hm=${this.#sign(path)}`
  }

  #sign(path: string): string {
    return createHmac('sha256', `stand-in ${this.#age}`).update(path).digest('hex')
  }
}

export async function readForm(request: IncomingMessage): Promise<Form> {
  const headers = { 'content-type': request.headers['content-type'] ?? '' }
  const form = await new Response(new Uint8Array(await buffer(request)), { headers }).formData()
  const files = new Map<string, { name: string; type: string; bytes: Buffer }>()
  for (const [key, value] of form) {
    const [, index] = /^files\[(\d+)\]$/.exec(key) ?? []
    if (index === undefined || typeof value === 'string') continue
    files.set(index, { name: value.name, type: value.type, bytes: Buffer.from(await value.arrayBuffer()) })
  }
  const json = form.get('payload_json')
  return { body: typeof json === 'string' ? JSON.parse(json) : undefined, files }
}
