/**
 * Controls but newline and tab, everything that turns the direction of text, invisible operators, tags (but those that
 * end a flag), and halves of characters: nothing a person sees, all of it used to show one thing and say another. The
 * word joiner goes too, because a guard is one.
 */
const unseen = /(?![\n\t])[\p{Cc}\p{Bidi_Control}\u00ad\u2028\u2029\u2060-\u2064\u206a-\u206f\ufeff\ufff9-\ufffb]/gu
const tags = /(\u{1f3f4}[\u{e0020}-\u{e007e}]{1,8}\u{e007f})|[\u{e0000}-\u{e007f}]/gu

/** What a model wrote, without what a person could not see. */
export function clean(text: string): string {
  return text
    .toWellFormed()
    .replace(/\r\n?/g, '\n')
    .replace(unseen, '')
    .replace(tags, (_, flag: string | undefined) => flag ?? '')
}

const named: Record<string, string> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: '\u00a0',
  copy: '©',
  hellip: '…',
  ndash: '–',
  mdash: '—',
}

/** Character references as Markdown has them; one that is not known stays as it is written. */
export function decode(text: string): string {
  return text.replace(
    /&(?:#x([0-9a-f]{1,6})|#([0-9]{1,7})|([a-z]{2,8}));/gi,
    (whole, hex?: string, decimal?: string, name?: string) => {
      if (name !== undefined) return named[name] ?? whole
      const point = hex !== undefined ? Number.parseInt(hex, 16) : Number(decimal)
      return point > 0 && point <= 0x10ffff ? String.fromCodePoint(point) : '\ufffd'
    },
  )
}

/** Invisible, and no letter: a service does not read a name across it. */
export const guard = '\u2060'

/**
 * Puts a guard after each `@` that a service could take for somebody's name: one that no letter or digit precedes, as
 * in an address. `before` is the character before the text.
 */
export function guardMentions(text: string, before = ''): string {
  return guardEveryone(text).replace(/@(?!\u2060)/g, (at, offset: number, whole: string) => {
    const previous = offset === 0 ? before : whole.charAt(offset - 1)
    return /[a-z0-9]/i.test(previous) ? at : at + guard
  })
}

/** After those alone that call everyone, wherever they stand: for code, which is to stay as it is where it can. */
export function guardEveryone(text: string): string {
  return text.replace(/@(?=everyone|here|channel)/gi, `@${guard}`)
}
