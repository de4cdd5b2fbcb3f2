import { guardMentions } from './clean.ts'
import { safeHref } from './links.ts'
import { plainText, type Span } from './spans.ts'

/**
 * Addresses written out: behind the text that they belong to, or in its place where that is an address too. They alone
 * are links then.
 */
export function writeOutLinks(spans: readonly Span[]): Span[] {
  const out: Span[] = []
  for (let i = 0; i < spans.length; ) {
    const href = spans[i]?.marks.href
    let end = i + 1
    while (href !== undefined && spans[end]?.marks.href === href) end++
    const link = spans.slice(i, end).map(({ text, marks: { href: _, ...marks } }): Span => ({ text, marks }))
    i = end
    if (href === undefined) out.push(...link)
    else {
      const address: Span = { text: href.replace(/^mailto:/, ''), marks: { href } }
      if (isAddress(plainText(link), href)) out.push(address)
      else out.push(...link, { text: ' (', marks: {} }, address, { text: ')', marks: {} })
    }
  }
  return out
}

function isAddress(text: string, href: string): boolean {
  return [text, `http://${text}`, `mailto:${text}`].some((address) => safeHref(address) === href)
}

/** Without any markup; names are guarded everywhere, since no service sees here what was code. */
export function plain(spans: readonly Span[]): string {
  return guardMentions(plainText(writeOutLinks(spans)))
}
