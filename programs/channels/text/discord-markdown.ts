import { guard, guardEveryone, guardMentions } from './clean.ts'
import { type LineGrammar, writeLines } from './lines.ts'
import { blockCode, inlineCode } from './signs.ts'
import type { Span } from './spans.ts'

const signs = { quote: '', pre: '', bold: '**', italic: '*', strike: '~~', code: '' } as const

const grammar: LineGrammar = {
  open: (mark) => (mark === 'href' ? '[' : signs[mark]),
  // The angle brackets keep it from showing what the page says of itself.
  close: (mark, value) => (mark === 'href' ? `](<${value}>)` : signs[mark]),
  text(text, { code, href }) {
    if (code) return codeInLine(text)
    // It shows no link under a text that is an address.
    return escapeSigns(guardMentions(href ? text.replaceAll('://', `:${guard}//`) : text))
  },
  fence: (lang, code) => `\`\`\`${lang}\n${blockCode(code)}\n\`\`\``,
  lineStart: (line) => line.replace(/^\s*(?=[#>+-])/, '$&\\'),
}

/** https://support.discord.com/hc/articles/210298617: a backslash takes the meaning from any sign. */
export function discordMarkdown(spans: readonly Span[]): string {
  return writeLines(spans, grammar)
}

function escapeSigns(text: string): string {
  return text.replace(/[\\*_~|`<[\]]/g, '\\$&')
}

/** One backtick may stand between two. */
function codeInLine(text: string): string {
  if (!text.includes('`') || text.includes('``')) return `\`${inlineCode(text)}\``
  return `\`\` ${guardEveryone(text)} \`\``
}
