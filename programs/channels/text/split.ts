import { plainText, type Span, slice, trim } from './spans.ts'

const graphemes = new Intl.Segmenter('und', { granularity: 'grapheme' })

/**
 * Cuts a message into pieces that fit, each a message of its own with the marks that were in force: a block of code is
 * opened again. It cuts where a reader would: after a paragraph, a line, a sentence, a word; never inside a grapheme,
 * nor inside a link, unless one alone is too long. White space at a cut is dropped. `fits` must hold for shorter texts
 * if it holds for longer ones, and for nothing that is longer than `limit` UTF-16 units.
 */
export function split(spans: readonly Span[], limit: number, fits: (piece: readonly Span[]) => boolean): Span[][] {
  const text = plainText(spans)
  const pieces: Span[][] = []
  for (let from = 0; from < text.length; ) {
    const to = cut(spans, text, from, limit, fits)
    const piece = trim(slice(spans, from, to))
    // Where not even one grapheme fits with its marks it is said without.
    const said = fits(piece) ? piece : piece.map((span) => ({ text: span.text, marks: {} }))
    if (piece.length > 0) pieces.push(said)
    from = to
  }
  return pieces
}

function cut(
  spans: readonly Span[],
  text: string,
  from: number,
  limit: number,
  fits: (piece: readonly Span[]) => boolean,
): number {
  const fitsTo = (to: number) => fits(trim(slice(spans, from, to)))
  const most = Math.min(text.length, from + limit + leadingSpace(text, from))
  if (most === text.length && fitsTo(most)) return most
  let low = from
  let high = most
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (fitsTo(middle)) low = middle
    else high = middle - 1
  }
  const window = graphemes.segment(text.slice(from, low + 1024))
  const isBoundary = (at: number) => at >= text.length || window.containing(at - from)?.index === at - from
  let to = goodPlace(spans, text, from, low, isBoundary)
  while (to > from && !(isBoundary(to) && fitsTo(to))) to--
  if (to > from) return to
  // One grapheme is longer than a message: it is cut between characters, or said without its marks.
  to = Math.max(low, Math.min(from + Math.ceil(limit / 2), from + (window.containing(0)?.segment.length ?? 1)))
  return /[\ud800-\udbff]/.test(text.charAt(to - 1)) ? Math.max(to - 1, from + 2) : to
}

/** Blank lines before a piece are dropped, so they do not count. */
function leadingSpace(text: string, from: number): number {
  const rest = text.slice(from, from + 4096)
  return rest.length - rest.trimStart().length
}

/** The best place not after `last`, at least half way to it. */
function goodPlace(
  spans: readonly Span[],
  text: string,
  from: number,
  last: number,
  isBoundary: (at: number) => boolean,
): number {
  const earliest = from + Math.ceil((last - from) / 2)
  const links = linkRanges(spans).filter(([start, end]) => end > from && start < last)
  const isGood = (at: number) => isBoundary(at) && !links.some(([start, end]) => start < at && at < end)
  for (const sign of ['\n\n', '\n', '. ', ' ']) {
    for (
      let at = text.lastIndexOf(sign, last - sign.length);
      at + sign.length > earliest;
      at = text.lastIndexOf(sign, at - 1)
    ) {
      if (isGood(at + sign.length)) return at + sign.length
      if (at === 0) break
    }
  }
  const link = links.find(([start, end]) => start < last && last < end)
  return link && link[0] > from ? link[0] : last
}

/** From the beginning of a link to its end, whatever other marks change inside it. */
function linkRanges(spans: readonly Span[]): [number, number][] {
  const ranges: [number, number][] = []
  let at = 0
  let href: string | undefined
  for (const { text, marks } of spans) {
    const last = ranges.at(-1)
    if (last && marks.href !== undefined && marks.href === href) last[1] += text.length
    else if (marks.href !== undefined) ranges.push([at, at + text.length])
    href = marks.href
    at += text.length
  }
  return ranges
}
