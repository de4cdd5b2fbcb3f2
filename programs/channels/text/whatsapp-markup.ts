import { guard, guardMentions } from './clean.ts'
import { type LineGrammar, writeLines } from './lines.ts'
import { blockCode, disarm, disarmAddress, inlineCode } from './signs.ts'
import type { Span } from './spans.ts'

const signs = { quote: '', pre: '', href: '', bold: '*', italic: '_', strike: '~', code: '`' } as const

const grammar: LineGrammar = {
  open: (mark) => signs[mark],
  close: (mark) => signs[mark],
  text(text, { code, href }) {
    if (code) return inlineCode(text)
    return href?.startsWith('http') ? disarmAddress(text) : disarm(guardMentions(text))
  },
  fence: (_, code) => `\`\`\`${blockCode(code)}\`\`\``,
  lineStart: (line) => (/^\s*(?:>|[*-]\s)/.test(line) ? guard + line : line),
}

/** https://faq.whatsapp.com/539178204879377: it has no links but those that are written out. */
export function whatsappMarkup(spans: readonly Span[]): string {
  return writeLines(spans, grammar)
}
