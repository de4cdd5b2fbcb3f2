import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseHtml } from '../../../test/services/telegram-html.ts'
import type { TextFormat } from '../frame/port.ts'
import { discordMarkdown } from './discord-markdown.ts'
import { discordText, slackText, telegramText, textFormat, whatsappText } from './index.ts'
import { inAddress, limits, lookalikes, markdown, seen } from './markdown.test-support.ts'
import { readDiscord, readSlack, readWhatsapp } from './parsers.test-support.ts'
import { writeOutLinks } from './plain.ts'
import { read } from './read.ts'
import { slackMrkdwn } from './slack-mrkdwn.ts'
import { plainText } from './spans.ts'
import { telegramHtml, telegramLength } from './telegram-html.ts'
import { whatsappMarkup } from './whatsapp-markup.ts'

/** A service, as a text is cut for it. */
interface Service {
  name: string
  format: TextFormat
  limit: number
  /** The same with another limit. */
  cutAt(limit: number): TextFormat
  /** What a person sees of one message; throws for markup that the service would refuse or take for something else. */
  shown(markup: string): string
  /** How long the service says it is. */
  length(markup: string): number
  /** All that is said of a text, also of its links. */
  said(text: string): string
  link(label: string, url: string): string
  /** Whether a block of code has a language there. */
  languages: boolean
}

const links = (text: string) => plainText(read(text))
/** UTF-16 units, of which there are never fewer than characters, in whatever way a service counts these. */
const units = (markup: string) => markup.length

const services: readonly Service[] = [
  {
    ...{ name: 'Telegram', format: telegramText, limit: 4096, languages: true, said: links },
    cutAt: (limit) => textFormat({ limit, write: telegramHtml, length: telegramLength }),
    shown: (html) => parseHtml(html).text,
    // Without the markup: https://core.telegram.org/bots/api#sendmessage
    length: (html) => parseHtml(html).text.length,
    link: (label, url) => `<a href="${url}">${label}</a>`,
  },
  {
    ...{ name: 'Slack', format: slackText, limit: 4000, languages: false, said: links, shown: readSlack },
    cutAt: (limit) => textFormat({ limit, write: slackMrkdwn }),
    length: units,
    link: (label, url) => `<${url}|${label}>`,
  },
  {
    ...{ name: 'Discord', format: discordText, limit: 2000, languages: true, said: links, shown: readDiscord },
    cutAt: (limit) => textFormat({ limit, write: discordMarkdown }),
    length: units,
    link: (label, url) => `[${label}](<${url}>)`,
  },
  {
    ...{ name: 'WhatsApp', format: whatsappText, limit: 4096, languages: false, shown: readWhatsapp },
    cutAt: (limit) => textFormat({ limit, write: whatsappMarkup, prepare: writeOutLinks }),
    length: units,
    said: (text) => plainText(writeOutLinks(read(text))),
    link: (_, url) => `(${url})`,
  },
]

describe.each(services)(
  'a text that is cut for $name',
  ({ format, limit, cutAt, shown, length, said, link, languages }) => {
    it('comes in pieces within the limit, each of them valid, and loses and doubles nothing', () => {
      fc.assert(
        fc.property(markdown, limits, (text, at) => {
          const pieces = cutAt(at).pieces(text)
          for (const piece of pieces) {
            expect(length(piece.text)).toBeLessThanOrEqual(at)
            expect(piece.plain.length).toBeLessThanOrEqual(at)
            expect(shown(piece.text).trim()).not.toBe('')
          }
          if (!plainText(read(text)).trim()) return
          const whole = pieces.map((piece) => shown(piece.text)).join('\n')
          expect(lookalikes(seen(whole))).toBe(lookalikes(seen(said(text))))
        }),
        { numRuns: 1500 },
      )
    })

    it('comes within the limit and valid also while it grows', () => {
      fc.assert(
        fc.property(markdown, limits, (text, at) => {
          for (const piece of cutAt(at).pieces(text, { growing: true })) {
            expect(length(piece.text)).toBeLessThanOrEqual(at)
            expect(shown(piece.text).trim()).not.toBe('')
          }
        }),
        { numRuns: 500 },
      )
    })

    it('comes within the limit of the service itself, in no more pieces than it takes', () => {
      const lines = fc.array(markdown, { minLength: 150, maxLength: 200 }).map((parts) => parts.join('\n\n'))
      fc.assert(
        fc.property(lines, (text) => {
          for (const { text: piece } of format.pieces(text)) expect(length(piece)).toBeLessThanOrEqual(limit)
        }),
        { numRuns: 10 },
      )
      for (const sign of ['x', '漢', '😀']) {
        const pieces = format.pieces(sign.repeat(20_000 / sign.length))
        expect(pieces.map((piece) => piece.text).join('')).toBe(sign.repeat(20_000 / sign.length))
        expect(pieces).toHaveLength(Math.ceil(20_000 / limit))
      }
    })

    it('is never cut inside what a person takes for one sign', () => {
      const segmenter = new Intl.Segmenter('und', { granularity: 'grapheme' })
      const signs = (text: string) =>
        [...segmenter.segment(text)].map(({ segment }) => segment).filter((sign) => sign.trim())
      const sign = fc.constantFrom(
        ...[
          '👩‍👩‍👧‍👦',
          '🇩🇪',
          '🇫🇷',
          'e\u0301',
          '👍🏽',
          '각',
          'षि',
          '🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}',
          '漢',
          'x',
          ' ',
        ],
      )
      const around = fc.constantFrom('', '**', '`', '~~', '\n```\n')
      fc.assert(
        fc.property(fc.array(sign, { minLength: 1, maxLength: 120 }), around, limits, (all, mark, at) => {
          const text = all.join('').trim() || 'x'
          const pieces = cutAt(at).pieces(mark + text + mark)
          expect(pieces.flatMap((piece) => signs(shown(piece.text)))).toEqual(signs(text))
        }),
      )
    })

    it('is never cut inside a link', () => {
      const words = fc.array(fc.constantFrom('a', 'word', 'of', 'some', 'length.'), { minLength: 1, maxLength: 30 })
      const part = fc.record({
        before: words,
        label: fc.array(fc.constantFrom('here', 'and', '**there**'), { minLength: 1, maxLength: 4 }),
      })
      fc.assert(
        fc.property(
          fc.array(part, { minLength: 1, maxLength: 12 }),
          fc.integer({ min: 220, max: 300 }),
          (parts, at) => {
            const linked = parts.map(({ before, label }, n) => ({
              ...{ before: before.join(' '), label: label.join(' ') },
              url: `https://example.org/~a/_page_/${n}/`,
            }))
            const text = linked.map(({ before, label, url }) => `${before} [${label}](${url})`).join(' ')
            const pieces = cutAt(at).pieces(text)
            for (const { label, url } of linked) {
              const holding = pieces.filter((piece) => inAddress(piece.text).includes(url))
              expect(holding, url).toHaveLength(1)
              if (!label.includes('*')) expect(inAddress(holding[0]?.text ?? '')).toContain(link(label, url))
            }
          },
        ),
      )
    })

    it('has its blocks of code closed and opened again, in their language', () => {
      const line = fc
        .tuple(
          fc.constantFrom('', '  ', '\t'),
          fc.string({ unit: fc.constantFrom(...'abc01 <>&*_~`@[](){}|"\\#'), minLength: 1, maxLength: 30 }),
        )
        .map(([indent, code]) => `${indent}x${code.trimEnd()}`)
      fc.assert(
        fc.property(
          fc.array(line, { minLength: 1, maxLength: 60 }),
          fc.constantFrom('', 'ts', 'c++', 'objective-c'),
          limits,
          (lines, language, at) => {
            const pieces = cutAt(at).pieces(
              `Look:\n\n\`\`\`\`\`\`${language}\n${lines.join('\n')}\n\`\`\`\`\`\`\n\nDone.`,
            )
            const code = pieces.flatMap((piece) => codeIn(piece.text))
            expect(
              code
                .map((block) => block.text)
                .join('\n')
                .replaceAll('\u200b', '')
                .replaceAll('\u2060', ''),
            ).toBe(lines.join('\n'))
            for (const block of code) expect(block.language).toBe(languages ? language : '')
          },
        ),
        { numRuns: 500 },
      )
    })

    it('ends its pieces where a reader would', () => {
      const paragraph = 'Some words in a row. '.repeat(20).trim()
      const text = Array.from({ length: 30 }, () => paragraph).join('\n\n')
      const pieces = format.pieces(text)
      expect(pieces.length).toBeLessThanOrEqual(Math.ceil(text.length / (limit / 1.3)))
      for (const piece of pieces) expect(piece.plain.endsWith('row.')).toBe(true)
    })

    function codeIn(markup: string): { text: string; language: string }[] {
      if (markup.includes('<pre>')) {
        const { text, entities } = parseHtml(markup)
        return entities
          .filter(({ type }) => type === 'pre')
          .map(({ offset, length: long, language = '' }) => ({ text: text.slice(offset, offset + long), language }))
      }
      const fence = languages ? /```([\w+#.-]*)\n([\s\S]*?)\n```/g : /```()\n?([\s\S]*?)\n?```/g
      return [...markup.matchAll(fence)].map(([, language = '', text = '']) => ({
        text:
          format === slackText ? text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&') : text,
        language,
      }))
    }
  },
)
