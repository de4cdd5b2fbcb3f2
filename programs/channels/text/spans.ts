/** How a stretch of text looks. What a service has no form for, it shows as plain text. */
export interface Marks {
  readonly quote?: true
  /** Absolute, with a scheme that `links.ts` lets pass. */
  readonly href?: string
  readonly bold?: true
  readonly italic?: true
  readonly strike?: true
  /** A word of code inside a line; carries no other mark but `quote`. */
  readonly code?: true
  /** A block of code: its language, or the empty string; carries no other mark. */
  readonly pre?: string
}

/** A message is a flat list of these: whatever prefix of it is taken is a message again, so it can be cut anywhere. */
export interface Span {
  readonly text: string
  readonly marks: Marks
}

export function plainText(spans: readonly Span[]): string {
  return spans.map((span) => span.text).join('')
}

/** The part between two UTF-16 offsets of the plain text. */
export function slice(spans: readonly Span[], from: number, to: number): Span[] {
  const taken: Span[] = []
  let at = 0
  for (const { text, marks } of spans) {
    const part = text.slice(Math.max(0, from - at), Math.max(0, to - at))
    if (part) taken.push({ text: part, marks })
    at += text.length
    if (at >= to) break
  }
  return taken
}

/** Without blank lines before it and white space after it, which no service keeps. */
export function trim(spans: readonly Span[]): Span[] {
  const text = plainText(spans)
  return slice(spans, text.length - text.replace(/^(?:[^\S\n]*\n)+/, '').length, text.trimEnd().length)
}

export function sameMarks(a: Marks, b: Marks): boolean {
  return (
    a.quote === b.quote &&
    a.href === b.href &&
    a.bold === b.bold &&
    a.italic === b.italic &&
    a.strike === b.strike &&
    a.code === b.code &&
    a.pre === b.pre
  )
}

/** The marks that both have. */
export function commonMarks(a: Marks, b: Marks): Marks {
  return {
    ...(a.quote && b.quote && { quote: true }),
    ...(a.href !== undefined && a.href === b.href && { href: a.href }),
    ...(a.bold && b.bold && { bold: true }),
    ...(a.italic && b.italic && { italic: true }),
    ...(a.strike && b.strike && { strike: true }),
  }
}
