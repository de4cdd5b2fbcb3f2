import * as z from 'zod'

/** Largest file, bytes: what the smallest of the services gives a bot. */
export const maxFileBytes = 20 * 1024 * 1024
/** Most files of one run, in each direction. */
export const maxFiles = 10
/** What a run may store in each direction at most, bytes, whatever its channel would take. */
export const roomOfRun = 64 * 1024 * 1024

/** A media type, or `image/*` for all of its kind. */
const typePattern = z.string().regex(/^[a-z]{1,32}\/(?:\*|[a-z0-9][a-z0-9.+-]{0,126})$/)

/** What of files a channel takes and hands over, as `spec.channels[].files` says it. */
export const fileLimits = z.strictObject({
  /** Bytes; 0 takes none. */
  maxBytes: z.int().min(0).max(maxFileBytes),
  types: z.array(typePattern).max(64),
})
export type FileLimits = z.infer<typeof fileLimits>

/** What a channel has that says nothing: documents, pictures, sound and text, and no programs. */
export const usualFileLimits: FileLimits = {
  maxBytes: maxFileBytes,
  types: [
    ...['image/*', 'audio/*', 'video/*', 'text/*'],
    ...['application/pdf', 'application/json', 'application/xml', 'application/yaml', 'application/zip'],
    'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
    'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
    'application/vnd.openxmlformats-officedocument.presentationml.presentation',
    'application/vnd.oasis.opendocument.text',
    'application/vnd.oasis.opendocument.spreadsheet',
    'application/vnd.oasis.opendocument.presentation',
  ],
}

const name = z.string().min(1).max(256)
const sha256 = z.string().regex(/^[a-f0-9]{64}$/)

/** A file that lies on the bus. */
export const fileRef = z.strictObject({
  /** As it is shown to people; what it is stored under is the hash. */
  name,
  /** Read from its content. */
  type: z.string().min(1).max(160),
  size: z.int().min(0).max(maxFileBytes),
  sha256,
})
export type FileRef = z.infer<typeof fileRef>

/** Why a file is not handed on. */
export const leftOut = z.enum(['too_large', 'type', 'gone', 'late', 'full', 'unchecked', 'no_workspace'])
export type LeftOut = z.infer<typeof leftOut>

/** What became of one file that a channel was to bring. */
export const broughtFile = z.union([fileRef, z.strictObject({ name, leftOut })])
export type BroughtFile = z.infer<typeof broughtFile>
