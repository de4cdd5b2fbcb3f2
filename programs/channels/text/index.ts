/**
 * What a model wrote, as each chat service shows it. It promises pieces within the service's limit that are each valid
 * by themselves, that together say all that was written, and whose markup is only what the Markdown called for; that
 * addresses a person may click open a page or a letter; that nothing in them calls anybody; and that any text at all
 * gives an answer. It refuses HTML, which is shown as text, and whatever a person could not see.
 */
import type { Rendered, TextFormat } from '../frame/port.ts'
import { discordMarkdown } from './discord-markdown.ts'
import { plain, writeOutLinks } from './plain.ts'
import { read } from './read.ts'
import { slackMrkdwn } from './slack-mrkdwn.ts'
import { slackStream } from './slack-stream.ts'
import type { Span } from './spans.ts'
import { split } from './split.ts'
import { telegramHtml, telegramLength } from './telegram-html.ts'
import { finish } from './unfinished.ts'
import { whatsappMarkup } from './whatsapp-markup.ts'

interface Service {
  /**
   * Longest message, as `length` counts; unless the service leaves the markup out, UTF-16 units of what is written. They
   * say characters, of which there are never more: Discord means code points (discord/discord-api-docs#1315).
   */
  limit: number
  write(spans: readonly Span[]): string
  length?(spans: readonly Span[]): number
  /** What must be said otherwise before it is cut. */
  prepare?(spans: readonly Span[]): Span[]
  /** A text that is still being written, so that it can be appended to. */
  stream?(spans: readonly Span[]): string | undefined
}

export const telegramText = textFormat({ limit: 4096, write: telegramHtml, length: telegramLength })
/** 4,000 is what Slack asks for and all that an edit may hold; above 40,000 it cuts. */
export const slackText = textFormat({ limit: 4000, write: slackMrkdwn, stream: slackStream })
export const discordText = textFormat({ limit: 2000, write: discordMarkdown })
export const whatsappText = textFormat({ limit: 4096, write: whatsappMarkup, prepare: writeOutLinks })

/** A piece fits if its plain form does too, which is said where the service refuses the markup. */
export function textFormat({ limit, write, length, prepare, stream }: Service): TextFormat {
  const fits = (piece: readonly Span[]) =>
    (length ? length(piece) : write(piece).length) <= limit && plain(piece).length <= limit
  return {
    pieces(markdown, { growing = false } = {}): Rendered[] {
      const spans = read(growing ? finish(markdown) : markdown)
      const pieces = split(prepare ? prepare(spans) : spans, limit, fits)
      if (pieces.length === 0 && markdown.trim()) return [{ text: '…', plain: '…' }]
      const growth = growing && pieces.length === 1 ? stream?.(spans) : undefined
      return pieces.map((piece) => ({
        ...{ text: write(piece), plain: plain(piece) },
        ...(growth !== undefined && { growing: growth }),
      }))
    },
  }
}
