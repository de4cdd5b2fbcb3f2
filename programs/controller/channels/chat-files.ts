import { type Attachment, maxAttachments, type Received } from '#core/channels'
import { attachmentPath, type FileLimits, usualFileLimits } from '#core/files'
import type { Channel } from '#core/kinds'

/** An attachment that its channel can fetch. */
export type FetchableFile = Attachment & { ref: string }

/** What of the files of some messages a run is brought, in their order; the rest is only named to it. */
export function filesOf(messages: readonly Received[]): FetchableFile[] {
  return messages
    .flatMap(({ attachments }) => attachments)
    .filter((file): file is FetchableFile => file.ref !== undefined)
    .slice(0, maxAttachments)
}

/** What the agent is told of one: where it will lie, or that it cannot be read. */
export function fileLine({ name, mimeType, size }: Attachment, at: number): string {
  const what = `(${oneLine(mimeType)}, ${size} bytes)`
  return at < 0
    ? `[attached, and not readable here: ${oneLine(name)} ${what}]`
    : `[attached: ${attachmentPath(at + 1, name)} ${what}]`
}

/** What of files a channel takes and hands over: what it says, and as usual where it says nothing. */
export function limitsOf({ files }: Channel): FileLimits {
  const { maxBytes = usualFileLimits.maxBytes, types = usualFileLimits.types } = files ?? {}
  return { maxBytes, types }
}

/** A name that somebody gave himself cannot pass for another line. */
export function oneLine(name: string): string {
  return name.replace(/[\p{C}\p{Z}]+/gu, ' ').trim()
}
