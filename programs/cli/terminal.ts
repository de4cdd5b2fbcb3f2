/**
 * What an agent wrote reaches a terminal only through here: control characters (but newline and tab) and
 * bidirectional overrides are shown as escapes, so that no result can move a cursor or turn text around.
 */
export function safe(text: string): string {
  return text.replace(/[\p{Cc}\p{Bidi_Control}\u2028\u2029\ufeff]/gu, (c) => {
    if (c === '\n' || c === '\t') return c
    const code = c.charCodeAt(0)
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`
  })
}

/** One line of it: newlines and tabs escaped too. */
export function safeLine(text: string): string {
  return safe(text).replaceAll('\n', '\\n').replaceAll('\t', '\\t')
}

/** Columns as kubectl prints them: upper-case heads, three spaces between, nothing cut. */
export function table(heads: string[], rows: string[][]): string {
  const cells = [heads, ...rows.map((row) => row.map((cell) => safeLine(cell === '' ? '<none>' : cell)))]
  const widths = heads.map((_, i) => Math.max(...cells.map((row) => row[i]?.length ?? 0)))
  return cells
    .map((row) => row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd((widths[i] ?? 0) + 3))).join(''))
    .join('\n')
}

/** Age as kubectl prints it: `5s`, `3m20s`, `4h`, `2d`. */
export function age(since: string | undefined, now: Date): string {
  if (!since) return '<unknown>'
  const seconds = Math.max(0, Math.floor((now.getTime() - Date.parse(since)) / 1000))
  if (seconds < 120) return `${seconds}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 10) return seconds % 60 ? `${minutes}m${seconds % 60}s` : `${minutes}m`
  if (minutes < 180) return `${minutes}m`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return `${hours}h`
  return `${Math.floor(hours / 24)}d`
}
