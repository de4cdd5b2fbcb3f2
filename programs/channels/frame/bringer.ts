import { setTimeout as sleep } from 'node:timers/promises'
import type { Bus } from '#core/bus'
import type { SendItem } from '#core/channels'
import { errorMessage, isClawError } from '#core/errors'
import {
  type BroughtFile,
  cleanName,
  type FileLimits,
  isAllowedType,
  type LeftOut,
  mediaTypeOf,
  putFile,
  putFileList,
  roomFor,
  roomOfRun,
} from '#core/files'
import type { ChannelAddress } from '#core/identity'
import { files } from './metrics.ts'
import type { ChatService } from './port.ts'
import { ServiceError } from './service-error.ts'

type Fetch = Extract<SendItem, { type: 'fetch' }>
type Wanted = Fetch['files'][number]

/** For all files of a run together: within this its bridge waits for them. */
const withinMs = 40_000
const firstBackOffMs = 500

export interface BringerOptions {
  bus: Bus
  channel: ChannelAddress
  service: Pick<ChatService, 'download'>
  /** Nothing is brought any more. */
  ended: AbortSignal
  withinMs?: number
}

/** Why a file is not brought, thrown where that turns out. */
class NotBrought extends Error {
  readonly why: LeftOut

  constructor(why: LeftOut) {
    super(why)
    this.why = why
  }
}

/**
 * Brings the files that came with what a run answers: fetched from the service, within their limits whatever it says of
 * them, judged by their content, and stored for that run. What is left out is said to the run in the same list. Bringing
 * twice is bringing once.
 */
export class Bringer {
  readonly #options: BringerOptions

  constructor(options: BringerOptions) {
    this.#options = options
  }

  /** What became of each, once the run is told. Throws where the bus does not take that. */
  async bring({ run, files: wanted, limits, room = roomOfRun }: Fetch): Promise<BroughtFile[]> {
    const { bus, channel, ended, withinMs: within = withinMs } = this.#options
    const late = AbortSignal.timeout(within)
    const brought: BroughtFile[] = []
    let left = room
    for (const file of wanted) {
      const one = await this.#bringOne(run.uid, file, limits, left, late)
      if (!('leftOut' in one)) left -= roomFor(one.size)
      files.add({ direction: 'in', result: 'leftOut' in one ? one.leftOut : 'brought' })
      brought.push(one)
    }
    await putFileList(bus, { ...channel, uid: run.uid }, channel, brought, ended)
    return brought
  }

  async #bringOne(
    uid: string,
    file: Wanted,
    limits: FileLimits,
    left: number,
    late: AbortSignal,
  ): Promise<BroughtFile> {
    const { bus, channel, ended } = this.#options
    const name = cleanName(file.name)
    try {
      if (file.size > limits.maxBytes) throw new NotBrought('too_large')
      if (roomFor(file.size) > left) throw new NotBrought('full')
      const bytes = await this.#fetchPatiently(file.ref, limits.maxBytes, late)
      const type = mediaTypeOf(bytes, file.mimeType)
      if (!isAllowedType(limits.types, type)) throw new NotBrought('type')
      // As it is, and not as it was said to be.
      if (roomFor(bytes.length) > left) throw new NotBrought('full')
      const stored = await putFile(bus, { ...channel, uid }, channel, bytes, AbortSignal.any([late, ended]))
      return { name, type, ...stored }
    } catch (error) {
      if (ended.aborted) throw error
      if (error instanceof NotBrought) return { name, leftOut: error.why }
      if (isClawError(error, 'full')) return { name, leftOut: 'full' }
      if (late.aborted) return { name, leftOut: 'late' }
      throw error
    }
  }

  /** Again where that can help, for as long as there is time. */
  async #fetchPatiently(ref: string, maxBytes: number, late: AbortSignal): Promise<Buffer> {
    const { bus, ended } = this.#options
    const signal = AbortSignal.any([late, ended])
    for (let backOff = firstBackOffMs; ; backOff *= 2) {
      try {
        return await this.#fetch(ref, maxBytes, signal)
      } catch (error) {
        if (error instanceof NotBrought) throw error
        if (signal.aborted) throw new NotBrought('late')
        const said = error instanceof ServiceError ? error : undefined
        if (said && said.refusal !== 'later') throw new NotBrought(said.reason === 'FileTooBig' ? 'too_large' : 'gone')
        bus.log.warn({ error: errorMessage(error) }, 'file not fetched yet')
        const asked = said?.afterMs ?? 0
        await sleep(Math.max(asked, backOff), undefined, { signal }).catch(() => {})
      }
    }
  }

  async #fetch(ref: string, maxBytes: number, signal: AbortSignal): Promise<Buffer> {
    const { service } = this.#options
    if (!service.download) throw new NotBrought('gone')
    const chunks: Uint8Array[] = []
    let length = 0
    // Leaving the loop cancels the stream, and with it the connection.
    for await (const chunk of await service.download(ref, { signal })) {
      signal.throwIfAborted()
      length += chunk.length
      if (length > maxBytes) throw new NotBrought('too_large')
      chunks.push(chunk)
    }
    return Buffer.concat(chunks)
  }
}
