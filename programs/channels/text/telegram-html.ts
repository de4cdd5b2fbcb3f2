import { guardMentions } from './clean.ts'
import { type Grammar, nest } from './nest.ts'
import type { Span } from './spans.ts'

const tags = { quote: 'blockquote', bold: 'b', italic: 'i', strike: 's', code: 'code' } as const

const grammar: Grammar = {
  open(mark, value) {
    if (mark === 'href') return `<a href="${escapeSigns(value)}">`
    if (mark === 'pre') return value ? `<pre><code class="language-${value}">` : '<pre>'
    return `<${tags[mark]}>`
  },
  close(mark, value) {
    if (mark === 'href') return '</a>'
    if (mark === 'pre') return value ? '</code></pre>' : '</pre>'
    return `</${tags[mark]}>`
  },
  text: (text) => escapeSigns(text),
}

/** https://core.telegram.org/bots/api#html-style */
export function telegramHtml(spans: readonly Span[]): string {
  return nest(withGuards(spans), grammar)
}

/** Telegram finds names in the text once its marks are taken off, so what comes before may be in another span. */
function withGuards(spans: readonly Span[]): Span[] {
  let before = ''
  return spans.map(({ text, marks }) => {
    const guarded = marks.code || marks.pre !== undefined ? text : guardMentions(text, before)
    before = text.at(-1) ?? before
    return { text: guarded, marks }
  })
}

function escapeSigns(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}

/** What Telegram counts: UTF-16 code units of the text without its markup. */
export function telegramLength(spans: readonly Span[]): number {
  return withGuards(spans).reduce((sum, span) => sum + span.text.length, 0)
}
