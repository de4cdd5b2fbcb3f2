import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CannotParse, mentionsIn, parseHtml } from '../../../test/services/telegram-html.ts'
import { discordText, slackText, telegramText, textFormat, whatsappText } from './index.ts'
import { readDiscord, readSlack, readWhatsapp } from './parsers.test-support.ts'
import { plain, writeOutLinks } from './plain.ts'
import { read } from './read.ts'
import { plainText } from './spans.ts'
import { telegramHtml, telegramLength } from './telegram-html.ts'

/** Every construct of Markdown and every sign that some service reads, one beside the other in any order. */
const fragment = fc.constantFrom(
  ...[
    'word ',
    'x',
    ' ',
    '\n',
    '\n\n',
    '**',
    '*',
    '_',
    '__',
    '~~',
    '~',
    '`',
    '``',
    '```',
    '\n```js\n',
    '\n```\n',
    '> ',
    '\n> ',
  ],
  ...[
    '\n- ',
    '\n  - ',
    '\n1. ',
    '\n- [x] ',
    '# ',
    '\n## ',
    '---',
    '\n|a|b|\n|-|-|\n|1|',
    '|',
    '[',
    '](',
    ')',
    '](https://x.y/a_b?c=(d)&e)',
  ],
  ...[
    '![i](http://i.j/k)',
    'http://h.i/j',
    '<http://k.l>',
    'a@b.cd',
    '@everyone',
    '@here',
    '@name_1',
    '<@123>',
    '<!channel>',
  ],
  ...[
    '<b>',
    '</b>',
    '<br>',
    '<script>',
    '&amp;',
    '&lt;',
    '&#8238;',
    '&#64;all_of',
    '&',
    '<',
    '>',
    '"',
    '\\',
    '\\*',
    '||',
  ],
  ...[
    '\u202e',
    '\u0000',
    '\u2060',
    '\ud800',
    '👩‍👩‍👧‍👦',
    '🇩🇪',
    'é',
    'े',
    '漢字',
    '```\u200b',
    '://',
    'javascript:x',
    '\t',
    '    code',
    '\n    code\n',
  ],
)
const markdown = fc.oneof(
  fc.array(fragment, { maxLength: 60 }).map((parts) => parts.join('')),
  fc.string({ unit: 'grapheme', maxLength: 300 }),
)
/** Limits far below the real ones, so that short texts are cut. */
const limits = fc.integer({ min: 60, max: 400 })

/** The letters that a person sees, whatever the guards and the white space between. */
function seen(text: string): string {
  return text.replace(/[\s\u2060\u200b]/g, '')
}

function lookalikes(text: string): string {
  return text.replaceAll('∗', '*').replaceAll('ˍ', '_').replaceAll('∼', '~').replaceAll('ˋ', '`')
}

describe('Telegram', () => {
  const cutAt = (limit: number) => textFormat({ limit, write: telegramHtml, length: telegramLength })

  it('writes what its server reads back as the same text, in pieces within the limit', () => {
    fc.assert(
      fc.property(markdown, limits, fc.boolean(), (text, limit, growing) => {
        const pieces = cutAt(limit).pieces(text, { growing })
        const parsed = pieces.map((piece) => parseHtml(piece.text))
        for (const [i, piece] of parsed.entries()) {
          expect(piece.text.length).toBeLessThanOrEqual(limit)
          expect(pieces[i]?.plain.length).toBeLessThanOrEqual(limit)
          expect(piece.text.trim()).not.toBe('')
          expect(mentionsIn(piece)).toEqual([])
          expect(mentionsIn({ text: pieces[i]?.plain ?? '', entities: [] })).toEqual([])
          for (const { type } of piece.entities) expect(type).not.toBe('text_mention')
        }
        if (!growing && text.trim() && plainText(read(text)).trim())
          expect(seen(parsed.map((piece) => piece.text).join(''))).toBe(seen(plainText(read(text))))
      }),
      { numRuns: 2000 },
    )
  })

  it('never cuts inside a grapheme', () => {
    const graphemes = new Intl.Segmenter('und', { granularity: 'grapheme' })
    const family = '👩‍👩‍👧‍👦🇩🇪é'
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 20, max: 50 }), (n, limit) => {
        for (const piece of cutAt(limit).pieces(family.repeat(n)))
          for (const { segment } of graphemes.segment(piece.plain)) expect(family).toContain(segment)
      }),
    )
  })

  it('opens a block of code again in the next piece', () => {
    const code = Array.from({ length: 400 }, (_, i) => `line ${i} <of> code`).join('\n')
    const pieces = telegramText.pieces(`Look:\n\n\`\`\`ts\n${code}\n\`\`\`\nDone.`)
    expect(pieces.length).toBeGreaterThan(1)
    for (const piece of pieces) {
      const { entities } = parseHtml(piece.text)
      expect(entities.filter(({ type }) => type === 'pre').map(({ language }) => language)).toEqual(['ts'])
    }
  })

  it('shows the marks that the Markdown has, nested', () => {
    expect(telegramText.pieces('**a *b* c** ~~d~~ `e<f` [g](https://h.i/)')[0]?.text).toBe(
      '<b>a <i>b</i> c</b> <s>d</s> <code>e&lt;f</code> <a href="https://h.i/">g</a>',
    )
  })

  it('says a long answer in pieces that end with a paragraph', () => {
    const paragraph = `${'Some words in a row. '.repeat(20).trim()}`
    const pieces = telegramText.pieces(Array.from({ length: 30 }, () => paragraph).join('\n\n'))
    expect(pieces.length).toBeLessThanOrEqual(5)
    for (const piece of pieces) expect(piece.plain.endsWith('row.')).toBe(true)
  })

  it('closes what a growing text has left open', () => {
    const shown = (text: string) => telegramText.pieces(text, { growing: true })[0]?.text
    expect(shown('see **bo')).toBe('see <b>bo</b>')
    expect(shown('see **a *b')).toBe('see <b>a <i>b</i></b>')
    expect(shown('see `co')).toBe('see <code>co</code>')
    expect(shown('see [this](https://exam')).toBe('see this')
    expect(shown('```js\nlet a\n``')).toBe('<pre><code class="language-js">let a</code></pre>')
    expect(shown('- one\n- **')).toBe('• one\n•')
  })
})

describe.each([
  ['Slack', slackText, readSlack, (text: string) => read(text), /@(?:everyone|here|channel)|<[@!#]/i],
  ['Discord', discordText, readDiscord, (text: string) => read(text), /@(?:everyone|here)/i],
  ['WhatsApp', whatsappText, readWhatsapp, (text: string) => writeOutLinks(read(text)), /@(?:everyone|here)/i],
] as const)('%s', (_name, format, readBack, spans, calls) => {
  it('writes what reads back as the same text, and nothing that calls anybody', () => {
    fc.assert(
      fc.property(markdown, (text) => {
        const pieces = format.pieces(text)
        for (const piece of pieces) expect(piece.text).not.toMatch(calls)
        if (plainText(read(text)).trim()) {
          const back = pieces.map((piece) => readBack(piece.text)).join('\n')
          expect(lookalikes(seen(back))).toBe(lookalikes(seen(plainText(spans(text)))))
        }
      }),
      { numRuns: 2000 },
    )
  })
})

describe("Slack's streams", () => {
  const grown = (text: string) => slackText.pieces(text, { growing: true })[0]?.growing

  it('are appended to while an answer is written, and show it as it will look', () => {
    const answer = [
      'Use **two words** and _one_, `snake_case` or 2 * 3, as in https://example.org/a_b and [here](http://h.i/).',
      '',
      '> quoted **text** here',
      '',
      '- first item',
      '- second `item`',
      '',
      '```ts',
      'const a = b < c && d["x"](y)',
      '```',
      '',
      'That is **all of it** &amp; more. The end',
    ].join('\n')
    let shown = ''
    for (let at = 1; at <= answer.length; at++) {
      const now = grown(answer.slice(0, at)) ?? shown
      expect(now.startsWith(shown), `${JSON.stringify(now)} after ${JSON.stringify(shown)}`).toBe(true)
      shown = now
    }
    expect(shown.replaceAll('\u2060', '')).toBe(
      [
        'Use **two words** and _one_, `snake_case` or 2 * 3, as in https://example.org/a_b and here.',
        '',
        '> quoted **text** here',
        '',
        '• first item',
        '• second `item`',
        '',
        '```ts',
        'const a = b < c && d["x"](y)',
        '```',
        '',
        'That is **all of it** & more. The',
      ].join('\n'),
    )
  })

  it('open no page and call nobody, whatever is written', () => {
    fc.assert(
      fc.property(markdown, (text) => {
        expect(grown(text) ?? '').not.toMatch(/https?:\/\/|\](?:[([]|:)|<[@!#a-z]|&[a-z#]|@\w|\w\.\w/i)
      }),
      { numRuns: 3000 },
    )
  })

  it('have nothing of a text that is whole, that is too long for a message, or that has no whole word yet', () => {
    expect(slackText.pieces('a whole text')[0]).not.toHaveProperty('growing')
    expect(slackText.pieces('word '.repeat(900), { growing: true }).map(({ growing }) => growing)).toEqual([
      undefined,
      undefined,
    ])
    expect(grown('wor')).toBeUndefined()
    expect(grown('漢字'.repeat(50))).toBe('漢字'.repeat(18))
  })
})

describe('any text', () => {
  it('opens nothing but a page or a letter', () => {
    for (const href of [
      'javascript:alert(1)',
      'tg://user?id=1',
      'file:///etc/passwd',
      'data:text/html,x',
      'https://u:p@h.i/',
    ])
      for (const format of [telegramText, slackText, discordText])
        expect(format.pieces(`[text](${href})`)[0]?.text).not.toMatch(/href|\|text>|\]\(/)
  })

  it('loses what a person could not see', () => {
    expect(plain(read('a\u202eb\u0007c\u200fd\u2066e&#8238;f'))).toBe('abcdef')
  })

  it('is answered when it is made to be slow, or nests deeper than a stack', { timeout: 300_000 }, () => {
    const size = 65_536
    for (const part of ['>', '*a **a ', '***a b_', '[a', '![', '`', '- ', '_a', '|a', '<a ', '*a', '\\', '@', '&#x'])
      for (const format of [telegramText, slackText, discordText, whatsappText])
        expect(format.pieces(part.repeat(size / part.length)).length).toBeGreaterThan(0)
  })
})

describe("the strict reader of Telegram's HTML", () => {
  it.each([
    ['<b>', `Can't find end tag corresponding to start tag "b"`],
    ['<b><i>x</b></i>', 'Unmatched end tag at byte offset 7, expected "</i>", found "</b>"'],
    ['x</b>', 'Unexpected end tag at byte offset 1'],
    ['é<h1>x</h1>', 'Unsupported start tag "h1" at byte offset 2'],
    ['a < b', 'Unsupported start tag "" at byte offset 2'],
    ['<span>x</span>', 'Tag "span" must have class "tg-spoiler" at byte offset 0'],
    ['<a href="x', 'Unclosed start tag "a" at byte offset 0'],
  ])('refuses %s', (html, message) => {
    expect(() => parseHtml(html)).toThrow(new CannotParse(message))
  })
})
