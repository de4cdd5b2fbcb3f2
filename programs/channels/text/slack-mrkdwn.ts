import { guard, guardMentions } from './clean.ts'
import { type LineGrammar, writeLines } from './lines.ts'
import { blockCode, disarm, inlineCode } from './signs.ts'
import type { Span } from './spans.ts'

const signs = { quote: '', pre: '', bold: '*', italic: '_', strike: '~', code: '`' } as const

const grammar: LineGrammar = {
  open: (mark, value) => (mark === 'href' ? `<${escapeSigns(value)}|` : signs[mark]),
  close: (mark) => (mark === 'href' ? '>' : signs[mark]),
  text: (text, { code }) => escapeSigns(code ? inlineCode(text) : disarm(guardMentions(text))),
  fence: (_, code) => `\`\`\`\n${escapeSigns(blockCode(code))}\n\`\`\``,
  // Slack takes an escaped `>` for a quote as well.
  lineStart: (line) => (/^\s*&gt;/.test(line) ? guard + line : line),
}

/** https://docs.slack.dev/messaging/formatting-message-text: mentions and commands are `<!...>`, `<@...>`, `<#...>`. */
export function slackMrkdwn(spans: readonly Span[]): string {
  return writeLines(spans, grammar)
}

function escapeSigns(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
