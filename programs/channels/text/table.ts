import type { Tokens } from 'marked'
import { decode } from './clean.ts'

const graphemes = new Intl.Segmenter('und', { granularity: 'grapheme' })
const wide =
  /[\p{Extended_Pictographic}\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]/u

/** A table in columns of characters, for a block of code: no service has tables. */
export function drawTable(table: Tokens.Table): string {
  const rows = [table.header, ...table.rows].map((row) => row.map(cell))
  const widths = table.header.map((_, i) => Math.max(1, ...rows.map((row) => width(row[i] ?? ''))))
  const lines = rows.map((row) => widths.map((w, i) => pad(row[i] ?? '', w, table.align[i] ?? 'left')).join(' | '))
  lines.splice(1, 0, widths.map((w) => '-'.repeat(w)).join('-+-'))
  return lines.map((line) => line.trimEnd()).join('\n')
}

function cell({ text }: Tokens.TableCell): string {
  return decode(
    text
      .replace(/<br\s*\/?>/gi, ' ')
      .replace(/(\*\*|__|~~|`)(.+?)\1/g, '$2')
      .replace(/\s+/g, ' '),
  ).trim()
}

/** How many columns a terminal gives it. */
function width(text: string): number {
  let columns = 0
  for (const { segment } of graphemes.segment(text)) columns += wide.test(segment) ? 2 : 1
  return columns
}

function pad(text: string, columns: number, align: 'left' | 'right' | 'center'): string {
  const room = columns - width(text)
  const before = align === 'right' ? room : align === 'center' ? Math.floor(room / 2) : 0
  return ' '.repeat(before) + text + ' '.repeat(room - before)
}
