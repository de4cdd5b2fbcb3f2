/** The files of the stand-in of Slack: https://docs.slack.dev/messaging/working-with-files. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { buffer as bufferOf } from 'node:stream/consumers'
import { type Given, Refused, type Workspace } from './slack-shapes.ts'

/** A file as Slack keeps it; `bytes` are absent while it is still to be uploaded. */
interface Kept {
  id: string
  name: string
  size: number
  bytes: Buffer | undefined
  /** Where it lies, if not at Slack. */
  elsewhere?: string
}

export class SlackFiles {
  readonly #workspace: Workspace
  readonly #address: () => string
  readonly #files = new Map<string, Kept>()
  readonly #uploads = new Map<string, Kept>()
  #lastId = 100

  constructor(workspace: Workspace, address: () => string) {
    this.#workspace = workspace
    this.#address = address
  }

  /** A file of somebody's, as it goes with what they say. */
  keep(name: string, bytes: Buffer, { elsewhere }: { elsewhere?: string } = {}) {
    const id = this.#nextId()
    this.#files.set(id, { id, name, size: bytes.length, bytes, ...(elsewhere !== undefined && { elsewhere }) })
    return { id, name, mimetype: 'application/octet-stream', size: bytes.length }
  }

  /** What lies there under an id. */
  bytesOf(id: string): Buffer | undefined {
    return this.#files.get(id)?.bytes
  }

  forget(): void {
    this.#files.clear()
  }

  /** https://docs.slack.dev/messaging/working-with-files: what lies at files.slack.com. */
  async serve(request: IncomingMessage, response: ServerResponse, mayRead: boolean): Promise<void> {
    const [, kind, id = ''] = (request.url ?? '').split('/')
    if (kind === 'files-pri') {
      // Who may not read it is led to where people sign in.
      if (!mayRead) return void response.writeHead(302, { location: '/signin' }).end()
      const bytes = this.#files.get(id)?.bytes
      return void response.writeHead(bytes ? 200 : 404).end(bytes)
    }
    const upload = this.#uploads.get(id)
    const bytes = await bufferOf(request)
    if (!upload || request.method !== 'POST' || bytes.length !== upload.size) return void response.writeHead(400).end()
    upload.bytes = bytes
    response.writeHead(200).end(`OK - ${bytes.length}`)
  }

  info({ file: id = '' }: Given): object {
    const file = this.#files.get(id)
    if (!file) throw new Refused('file_not_found')
    const at = file.elsewhere ?? `http://${this.#address()}/files-pri/${id}/${encodeURIComponent(file.name)}`
    return { file: { id, name: file.name, size: file.size, url_private: at, url_private_download: at } }
  }

  uploadUrl({ filename: name = '', length = '' }: Given): object {
    const size = Number(length)
    if (!(size >= 1) || !name) throw new Refused('missing_argument')
    const id = this.#nextId()
    this.#uploads.set(id, { id, name, size, bytes: undefined })
    return { upload_url: `http://${this.#address()}/upload/${id}`, file_id: id }
  }

  complete(given: Given): object {
    const { me } = this.#workspace
    const channel = this.#workspace.channelOf(given, 'channel_id')
    this.#workspace.spend('files.completeUploadExternal', channel)
    const { files: list = '[]', thread_ts: thread } = given
    const done = (JSON.parse(list) as { id: string; title?: string }[]).map(({ id, title }) => {
      const upload = this.#uploads.get(id)
      if (!upload?.bytes) throw new Refused('file_not_found')
      this.#uploads.delete(id)
      this.#files.set(id, upload)
      return { id, title: title ?? upload.name }
    })
    if (thread !== undefined && !channel.messages.some(({ ts }) => ts === thread)) throw new Refused('thread_not_found')
    channel.messages.push({
      ...{ ts: this.#workspace.nextTs(), user: me.user, bot_id: me.bot, text: '', files: done },
      ...(thread !== undefined && { thread_ts: thread }),
    })
    return { files: done }
  }

  #nextId(): string {
    return `F${++this.#lastId}`
  }
}
