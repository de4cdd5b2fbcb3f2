/** The files of Telegram's Bot API: what people attach, what a bot asks for by id, and what it uploads. */
import { randomBytes } from 'node:crypto'

/** What is kept of a file, and what a message says of it. */
export interface KeptFile {
  file_id: string
  file_unique_id: string
  file_size: number
  file_name: string
  mime_type: string
}

/** A call that is refused, as the service words it. */
export type Refuse = (code: number, description: string) => Error

const downloadLimit = 20 * 1024 * 1024
const uploadLimit = 50 * 1024 * 1024
const photoLimit = 10 * 1024 * 1024
const pictures = ['89504e470d0a1a0a', 'ffd8ff', '52494646']

export class TelegramFiles {
  readonly #refuse: Refuse
  readonly #kept = new Map<string, { bytes: Buffer; path: string; told: number | undefined }>()

  constructor(refuse: Refuse) {
    this.#refuse = refuse
  }

  /** `told` is what the service says of its size, where that is not true. */
  keep(name: string, mime: string, bytes: Buffer, { told }: { told?: number } = {}): KeptFile {
    const id = randomBytes(24).toString('base64url')
    const extension = /\.\w+$/.exec(name)?.[0] ?? ''
    this.#kept.set(id, { bytes, path: `documents/file_${this.#kept.size}${extension}`, told })
    return {
      file_id: id,
      file_unique_id: id.slice(0, 12),
      file_size: told ?? bytes.length,
      file_name: name,
      mime_type: mime,
    }
  }

  bytes(id: string): Buffer | undefined {
    return this.#kept.get(id)?.bytes
  }

  forget(id: string): void {
    this.#kept.delete(id)
  }

  getFile({ file_id: id }: Record<string, unknown>) {
    const file = this.#kept.get(String(id))
    if (!file) throw this.#refuse(400, 'Bad Request: wrong file_id or the file is temporarily unavailable')
    const size = file.told ?? file.bytes.length
    if (size > downloadLimit) throw this.#refuse(400, 'Bad Request: file is too big')
    return { file_id: id, file_unique_id: String(id).slice(0, 12), file_size: size, file_path: file.path }
  }

  /** What lies at `/file/bot<token>/<path>`. */
  at(path: string): Buffer | undefined {
    return [...this.#kept.values()].find((file) => file.path === path)?.bytes
  }

  /** What a bot has uploaded as a document or a photo, as its message shows it. */
  async uploaded(kind: 'document' | 'photo', given: Record<string, unknown>) {
    const name = String(given[kind] ?? '')
    const part = name.startsWith('attach://') ? given[name.slice('attach://'.length)] : given[kind]
    if (!(part instanceof File)) throw this.#refuse(400, `Bad Request: there is no ${kind} in the request`)
    const bytes = Buffer.from(await part.arrayBuffer())
    if (bytes.length === 0) throw this.#refuse(400, 'Bad Request: file must be non-empty')
    if (bytes.length > uploadLimit) throw this.#refuse(413, 'Request Entity Too Large')
    if (kind === 'document') return { document: this.keep(part.name, part.type, bytes) }
    if (bytes.length > photoLimit) throw this.#refuse(400, 'Bad Request: PHOTO_SAVE_FILE_INVALID')
    if (!pictures.some((start) => bytes.toString('hex', 0, start.length / 2) === start))
      throw this.#refuse(400, 'Bad Request: IMAGE_PROCESS_FAILED')
    const { file_id, file_unique_id, file_size } = this.keep(part.name, 'image/jpeg', bytes)
    return { photo: [{ file_id, file_unique_id, file_size, width: 90, height: 60 }] }
  }
}
