/** How a file of a kind begins: bytes at a place. */
interface Signature {
  type: string
  at?: number
  bytes: readonly number[] | string
  /** And these at another place. */
  and?: { at: number; bytes: string }
}

const signatures: readonly Signature[] = [
  { type: 'image/png', bytes: [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a] },
  { type: 'image/jpeg', bytes: [0xff, 0xd8, 0xff] },
  { type: 'image/gif', bytes: 'GIF87a' },
  { type: 'image/gif', bytes: 'GIF89a' },
  { type: 'image/webp', bytes: 'RIFF', and: { at: 8, bytes: 'WEBP' } },
  ...['heic', 'heix', 'mif1'].map((brand) => ({ type: 'image/heic', at: 4, bytes: `ftyp${brand}` })),
  { type: 'image/avif', at: 4, bytes: 'ftypavif' },
  { type: 'audio/wav', bytes: 'RIFF', and: { at: 8, bytes: 'WAVE' } },
  { type: 'audio/ogg', bytes: 'OggS' },
  { type: 'audio/flac', bytes: 'fLaC' },
  { type: 'audio/mpeg', bytes: 'ID3' },
  ...[0xfb, 0xf3, 0xf2, 0xfa].map((second) => ({ type: 'audio/mpeg', bytes: [0xff, second] })),
  ...[0xf1, 0xf9].map((second) => ({ type: 'audio/aac', bytes: [0xff, second] })),
  { type: 'audio/amr', bytes: '#!AMR' },
  { type: 'audio/mp4', at: 4, bytes: 'ftypM4A' },
  { type: 'video/quicktime', at: 4, bytes: 'ftypqt' },
  { type: 'video/mp4', at: 4, bytes: 'ftyp' },
  { type: 'video/webm', bytes: [0x1a, 0x45, 0xdf, 0xa3] },
  { type: 'application/pdf', bytes: '%PDF-' },
  { type: 'application/gzip', bytes: [0x1f, 0x8b] },
  { type: 'application/zip', bytes: [0x50, 0x4b, 0x03, 0x04] },
  { type: 'application/zip', bytes: [0x50, 0x4b, 0x05, 0x06] },
]

const office = 'application/vnd.openxmlformats-officedocument'
/** What stands in a ZIP archive that is a document, uncompressed as names are. */
const documents: readonly [inside: string, type: string][] = [
  ['word/document.xml', `${office}.wordprocessingml.document`],
  ['xl/workbook.xml', `${office}.spreadsheetml.sheet`],
  ['ppt/presentation.xml', `${office}.presentationml.presentation`],
  ['mimetypeapplication/vnd.oasis.opendocument.text', 'application/vnd.oasis.opendocument.text'],
  ['mimetypeapplication/vnd.oasis.opendocument.spreadsheet', 'application/vnd.oasis.opendocument.spreadsheet'],
  ['mimetypeapplication/vnd.oasis.opendocument.presentation', 'application/vnd.oasis.opendocument.presentation'],
]

/** Text that may be called by a narrower name: nothing in its bytes tells one from another. */
const textual = /^(?:text\/[a-z0-9.+-]{1,64}|application\/(?:json|xml|yaml|x-yaml))$/

/**
 * The media type of a file by its content (the table of WHATWG MIME Sniffing, as far as people send such files). What
 * it was `declared` as counts among kinds of text alone. What is nothing that is known is `application/octet-stream`.
 */
export function mediaTypeOf(bytes: Buffer, declared = ''): string {
  const found = signatures.find((signature) => begins(bytes, signature))?.type
  if (found === 'application/zip') return documentIn(bytes) ?? found
  if (found !== undefined) return found
  if (!isText(bytes)) return 'application/octet-stream'
  const named = declared.toLowerCase().split(';')[0]?.trim() ?? ''
  return textual.test(named) ? named : 'text/plain'
}

/** Whether one of the patterns names it. */
export function isAllowedType(types: readonly string[], type: string): boolean {
  return types.some((pattern) => (pattern.endsWith('/*') ? type.startsWith(pattern.slice(0, -1)) : pattern === type))
}

function begins(bytes: Buffer, { at = 0, bytes: wanted, and }: Signature): boolean {
  return stands(bytes, at, wanted) && (!and || stands(bytes, and.at, and.bytes))
}

function stands(bytes: Buffer, at: number, wanted: readonly number[] | string): boolean {
  const expected = typeof wanted === 'string' ? Buffer.from(wanted, 'latin1') : Buffer.from(wanted)
  return bytes.subarray(at, at + expected.length).equals(expected)
}

function documentIn(bytes: Buffer): string | undefined {
  return documents.find(([inside]) => bytes.includes(inside, 0, 'latin1'))?.[1]
}

/** UTF-8 without control characters other than those that lay text out. */
function isText(bytes: Buffer): boolean {
  try {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
    return !/[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]/.test(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    return false
  }
}
