import * as z from 'zod'
import { type HandedFile, isRefusal, openFile, ServiceError } from '../frame/index.ts'
import type { Graph } from './graph.ts'

type Kind = 'image' | 'video' | 'audio' | 'document'

const MiB = 1024 * 1024
/** https://developers.facebook.com/documentation/business-messaging/whatsapp/business-phone-numbers/media#supported-media-types */
const limits: Readonly<Record<Kind, number>> = {
  image: 5 * MiB,
  video: 16 * MiB,
  audio: 16 * MiB,
  document: 100 * MiB,
}
const office = 'application/vnd.openxmlformats-officedocument'
const kinds: Readonly<Record<string, Kind>> = {
  'image/jpeg': 'image',
  'image/png': 'image',
  'video/mp4': 'video',
  'audio/aac': 'audio',
  'audio/amr': 'audio',
  'audio/mpeg': 'audio',
  'audio/mp4': 'audio',
  'application/pdf': 'document',
  [`${office}.wordprocessingml.document`]: 'document',
  [`${office}.spreadsheetml.sheet`]: 'document',
  [`${office}.presentationml.presentation`]: 'document',
}
/** Text that has a narrower name, which WhatsApp does not know; the name of the file says it. */
const textual = /^text\/|^application\/(?:json|xml|yaml|x-yaml)$/

/** An address holds for five minutes. */
const known = z.object({ url: z.string().max(4096) })
const uploaded = z.object({ id: z.string().regex(/^\d{1,32}$/) })
const maxUploads = 100

/** How WhatsApp is told of a file. Throws `never` for one of a kind or a size that it does not take. */
export function kindOf({ type, bytes }: Pick<HandedFile, 'type' | 'bytes'>): { kind: Kind; type: string } {
  const kind = Object.hasOwn(kinds, type) ? kinds[type] : textual.test(type) ? 'document' : undefined
  if (kind === undefined) throw new ServiceError('never', 'FileTypeRefused', `WhatsApp takes no files of ${type}.`)
  if (bytes.length > limits[kind])
    throw new ServiceError('never', 'FileTooBig', `WhatsApp takes no ${kind} of that size.`)
  return { kind, type: textual.test(type) ? 'text/plain' : type }
}

/**
 * Files of people, opened with the token at Meta alone, and files for people, which are uploaded first and then sent by
 * their id.
 */
export class Files {
  readonly #graph: Graph
  /** What was uploaded, by the key under which it is sent: to wait for a turn is no reason to upload it again. */
  readonly #uploads = new Map<string, string>()

  constructor(graph: Graph) {
    this.#graph = graph
  }

  /** Opens a file by its id. Meta says first where it lies. */
  async open(id: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const gone = () => new ServiceError('never', 'FileGone', 'WhatsApp does not have the file any more.')
    // It becomes part of an address.
    if (!/^\d{1,32}$/.test(id)) throw gone()
    const found = known.safeParse(
      await this.#graph.file(id, signal).catch((error: unknown) => {
        // The Graph API's way of saying that there is no such object says nothing of the number here.
        throw isRefusal(error, 'token') && error.reason === 'WrongNumberId' ? gone() : error
      }),
    )
    if (!found.success) throw gone()
    const { origins, authorization } = this.#graph.files
    return await openFile(found.data.url, { service: 'WhatsApp', origins, headers: { authorization }, signal })
  }

  /** What a message with this file holds. Throws as `kindOf` does. */
  async content(file: HandedFile, key: string, signal: AbortSignal): Promise<object> {
    const { kind, type } = kindOf(file)
    const id = this.#uploads.get(key) ?? (await this.#upload(file, type, signal))
    this.#uploads.set(key, id)
    if (this.#uploads.size > maxUploads)
      for (const [oldest] of this.#uploads.entries().take(1)) this.#uploads.delete(oldest)
    return { type: kind, [kind]: { id, ...(kind === 'document' && { filename: file.name }) } }
  }

  async #upload({ name, bytes }: HandedFile, type: string, signal: AbortSignal): Promise<string> {
    const form = new FormData()
    form.set('messaging_product', 'whatsapp')
    form.set('type', type)
    form.set('file', new Blob([new Uint8Array(bytes)], { type }), name)
    return uploaded.parse(await this.#graph.upload(form, signal)).id
  }
}
