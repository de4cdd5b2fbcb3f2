import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CannotParse, mentionsIn, parseHtml } from '../../../test/services/telegram-html.ts'
import { discordText, slackText, telegramText, whatsappText } from './index.ts'
import { markdown } from './markdown.test-support.ts'
import { plain } from './plain.ts'
import { read } from './read.ts'

describe('Telegram', () => {
  it('finds no name in what is written, with its markup or without', () => {
    fc.assert(
      fc.property(markdown, fc.boolean(), (text, growing) => {
        for (const piece of telegramText.pieces(text, { growing })) {
          const parsed = parseHtml(piece.text)
          expect(mentionsIn(parsed)).toEqual([])
          expect(mentionsIn({ text: piece.plain, entities: [] })).toEqual([])
          for (const { type } of parsed.entities) expect(type).not.toBe('text_mention')
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('shows the marks that the Markdown has, nested', () => {
    expect(telegramText.pieces('**a *b* c** ~~d~~ `e<f` [g](https://h.i/)')[0]?.text).toBe(
      '<b>a <i>b</i> c</b> <s>d</s> <code>e&lt;f</code> <a href="https://h.i/">g</a>',
    )
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

it.each([
  ['Slack', slackText, /@(?:everyone|here|channel)|<[@!#]/i],
  ['Discord', discordText, /@(?:everyone|here)/i],
  ['WhatsApp', whatsappText, /@(?:everyone|here)/i],
] as const)('nothing that is written for %s calls anybody', (_name, format, calls) => {
  fc.assert(
    fc.property(markdown, (text) => {
      for (const piece of format.pieces(text)) expect(piece.text).not.toMatch(calls)
    }),
    { numRuns: 2000 },
  )
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

describe('WhatsApp', () => {
  it('is shown addresses that open the page they name, whatever signs they have', () => {
    const written = (text: string) => whatsappText.pieces(text)[0]?.text
    expect(written('[see](https://h.i/_next_/~me/a_b)')).toBe('see (https://h.i/%5Fnext%5F/%7Eme/a_b)')
    expect(written('https://h.i/*a*?b=_c')).toBe('https://h.i/%2Aa%2A?b=%5Fc')
    expect(written('**[see _this_](https://h.i/)**')).toBe('*see _this_* (https://h.i/)')
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
