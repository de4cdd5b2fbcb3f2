/** Bytes; a file system takes 255, and the ordinal and a temporary suffix stand beside it. */
const maxNameBytes = 120
const letters = new Intl.Segmenter('en')

/**
 * A name for a file that somebody else named: one component, without what a shell, a terminal or another file system
 * takes for more than a letter, never empty, never hidden, its extension kept where it is cut.
 */
export function cleanName(name: string): string {
  const last = name.toWellFormed().normalize('NFC').split(/[/\\]/).at(-1) ?? ''
  const safe = last
    .replace(/[^\p{L}\p{M}\p{N}._ ()+,=@-]/gu, '_')
    .replace(/\s+/g, '_')
    .replace(/^[.\-_]+/, '')
    .replace(/[._]+$/, '')
  const [, stem = '', extension = ''] = /^(.*?)(\.[A-Za-z0-9]{1,16})?$/su.exec(safe) ?? []
  return fitting(stem, maxNameBytes - extension.length) + extension || 'file'
}

/** Where the `n`th file of a run lies in its workspace, from 1: no two share a path, whatever they are called. */
export function attachmentPath(n: number, name: string): string {
  return `attachments/${n}-${cleanName(name)}`
}

/** The beginning of a text that takes at most `bytes` in UTF-8, without half a letter at its end. */
function fitting(text: string, bytes: number): string {
  let length = 0
  let kept = ''
  for (const { segment } of letters.segment(text)) {
    length += Buffer.byteLength(segment)
    if (length > bytes) break
    kept += segment
  }
  return kept
}
