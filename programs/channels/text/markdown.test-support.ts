/** Markdown as a hostile model would write it, and what a person sees of it: for the tests of what services show. */
import fc from 'fast-check'

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
export const markdown = fc.oneof(
  fc.array(fragment, { maxLength: 60 }).map((parts) => parts.join('')),
  fc.string({ unit: 'grapheme', maxLength: 300 }),
)

/** Limits far below the real ones, so that short texts are cut. */
export const limits = fc.integer({ min: 60, max: 400 })

/** The letters that a person sees, whatever the guards and the white space between. */
export function seen(text: string): string {
  return text.replace(/[\s\u2060\u200b]/g, '')
}

/** With the signs themselves in the place of what is written for them where a service has no escape. */
export function lookalikes(text: string): string {
  return inAddress(text).replaceAll('∗', '*').replaceAll('ˍ', '_').replaceAll('∼', '~').replaceAll('ˋ', '`')
}

/** As an address is written elsewhere. */
export function inAddress(text: string): string {
  return text.replaceAll('%5F', '_').replaceAll('%7E', '~')
}
