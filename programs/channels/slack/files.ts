import type { WebClient } from '@slack/web-api'
import { ClawError } from '#core/errors'
import { type HandedFile, isRefusal, openFile, type Place, ServiceError } from '../frame/index.ts'
import type { Call } from './call.ts'
import type { Variables } from './settings.ts'

/** A file that lies at Slack and may not have been shared yet. */
interface Upload {
  id: string
  /** Slack was told to share it, and has not said that it did. */
  inDoubt: boolean
}

const maxUploads = 100

/**
 * Files of people, opened with the bot's token at Slack alone, and files for people, which are uploaded first and then
 * shared. https://docs.slack.dev/messaging/working-with-files
 */
export class Files {
  readonly #web: WebClient
  readonly #token: string
  /** Where Slack keeps files: beside its API. */
  readonly #origins: readonly string[]
  /** What was uploaded, by the key under which it is handed over: it is not uploaded twice. */
  readonly #uploads = new Map<string, Upload>()

  constructor(web: WebClient, { SLACK_BOT_TOKEN: token, SLACK_API_URL: url }: Variables) {
    this.#web = web
    this.#token = token
    const { origin, protocol, hostname } = new URL(url)
    this.#origins = [origin, `${protocol}//files.${hostname}`]
  }

  /** Opens a file by its id. Slack says first where it lies, also of one from another workspace. */
  async open(id: string, call: Call, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const { file } = await call(() => this.#web.files.info({ file: id })).catch(aboutFile)
    const address = file?.url_private_download ?? file?.url_private ?? ''
    const headers = { authorization: `Bearer ${this.#token}` }
    return await openFile(address, { service: 'Slack', origins: this.#origins, headers, signal })
  }

  /** Shares a file; gives its id, since Slack does not say which message it is in. */
  async share(
    { chat, thread }: Place,
    file: HandedFile,
    key: string,
    call: Call,
    signal: AbortSignal,
  ): Promise<string> {
    const upload = this.#uploads.get(key) ?? { id: await this.#upload(file, call, signal), inDoubt: false }
    this.#uploads.set(key, upload)
    if (this.#uploads.size > maxUploads)
      for (const [oldest] of this.#uploads.entries().take(1)) this.#uploads.delete(oldest)
    const files: [{ id: string; title: string }] = [{ id: upload.id, title: file.name }]
    const where = thread === undefined ? { channel_id: chat } : { channel_id: chat, thread_ts: thread }
    try {
      await call(() => this.#web.files.completeUploadExternal({ files, ...where })).catch(aboutFile)
    } catch (error) {
      // An upload is completed once.
      const isShared = upload.inDoubt && error instanceof ServiceError && error.reason === 'FileGone'
      upload.inDoubt ||= !(error instanceof ServiceError) || error.reason === 'Outage'
      if (!isShared) throw error
    }
    this.#uploads.delete(key)
    return upload.id
  }

  async #upload({ name, bytes }: HandedFile, call: Call, signal: AbortSignal): Promise<string> {
    const asked = { filename: name, length: bytes.length }
    const { upload_url: address = '', file_id: id } = await call(() =>
      this.#web.files.getUploadURLExternal(asked),
    ).catch(aboutFile)
    const isSlack = URL.canParse(address) && this.#origins.includes(new URL(address).origin)
    if (!isSlack || id === undefined) {
      throw new ServiceError('never', 'FileElsewhere', 'Slack does not say where to upload a file to.')
    }
    const body = new Uint8Array(bytes)
    const answer = await fetch(address, { method: 'POST', body, redirect: 'error', signal }).catch(() => {
      throw new ClawError('unavailable', 'Slack does not answer for a file')
    })
    await answer.body?.cancel()
    if (answer.ok) return id
    const said = `Slack answers ${answer.status} for a file.`
    if (answer.status === 413) throw new ServiceError('never', 'FileTooBig', said)
    throw new ServiceError('later', 'Outage', said)
  }
}

/** What the app may not do with files concerns files alone: text is said all the same. */
function aboutFile(error: unknown): never {
  if (!isRefusal(error, 'token') || error.reason !== 'MissingScope') throw error
  throw new ServiceError('never', error.reason, error.message)
}
