import { guard } from './clean.ts'
import { type LineGrammar, writeLines } from './lines.ts'
import { blockCode, disarm, inlineCode } from './signs.ts'
import type { Span } from './spans.ts'

const signs = { quote: '', pre: '', bold: '**', italic: '_', strike: '~~', code: '`' } as const

const grammar: LineGrammar = {
  open: (mark) => (mark === 'href' ? '' : signs[mark]),
  close: (mark) => (mark === 'href' ? '' : signs[mark]),
  text: (text, { code }) => inert(code ? inlineCode(text) : disarm(text)),
  fence: (lang, code) => `\`\`\`${lang}\n${inert(blockCode(code))}\n\`\`\``,
  lineStart: (line) => line,
}

/** Stands for what is still to be written; no text that a person sees has it. */
const rest = '\ue000'
/** All that `chat.appendStream` takes at once. */
const most = 12_000

/**
 * A text that is being written, in the Markdown that Slack's streams take, so that what is there later begins with it:
 * without its last word, and with the marks left open that are open. Slack has no way to keep a stream from showing a
 * page or calling somebody, so nothing in it is an address or a name: of a link there is the text alone. Nothing where
 * there is no whole word yet, or too much.
 */
export function slackStream(spans: readonly Span[]): string | undefined {
  const unlinked = spans.map(({ text, marks: { href: _, ...marks } }): Span => ({ text, marks }))
  const last = unlinked.pop()
  if (!last) return undefined
  const written = writeLines([...unlinked, { ...last, text: last.text + rest }], grammar)
  const open = written.slice(0, Math.max(written.lastIndexOf(rest), 0))
  const word = open.slice(-64).search(/\s\S*$/)
  const whole = word >= 0 ? open.slice(0, open.length - Math.min(open.length, 64) + word) : open.slice(0, -64)
  const text = whole.trimEnd().replace(/[\ud800-\udbff]$/, '')
  return text && text.length <= most ? text : undefined
}

/** No sign of it begins a name, a link, an address, an image or a character reference. */
function inert(text: string): string {
  return text
    .replace(/[<&]|@(?!\u2060)/g, (sign) => sign + guard)
    .replace(/\](?=[([:])/g, (sign) => sign + guard)
    .replace(/:(?=\/)|\.(?=[\p{L}\p{N}])/gu, (sign) => sign + guard)
}
