/**
 * Telegram's HTML as its server reads it, with its errors: https://core.telegram.org/bots/api#html-style. Offsets and
 * lengths are UTF-16 code units, as Telegram counts them.
 */
export interface Entity {
  type: string
  offset: number
  length: number
  url?: string
  language?: string
}

export interface FormattedText {
  text: string
  entities: Entity[]
}

/** What the server answers with as `Bad Request: can't parse entities: ...`. */
export class CannotParse extends Error {}

const types: Record<string, string> = {
  b: 'bold',
  strong: 'bold',
  i: 'italic',
  em: 'italic',
  s: 'strikethrough',
  strike: 'strikethrough',
  del: 'strikethrough',
  u: 'underline',
  ins: 'underline',
  'tg-spoiler': 'spoiler',
  blockquote: 'blockquote',
  pre: 'pre',
  code: 'code',
  a: 'text_link',
}

export function parseHtml(html: string): FormattedText {
  const entities: Entity[] = []
  const open: { tag: string; offset: number; attributes: Map<string, string>; at: number }[] = []
  let text = ''
  for (let i = 0; i < html.length; ) {
    const c = html.charAt(i)
    if (c === '&') {
      const reference = html.slice(i).match(/^&(?:lt|gt|amp|quot|#x[0-9a-fA-F]+|#[0-9]+);/)?.[0]
      text += reference ? character(reference) : '&'
      i += reference?.length ?? 1
    } else if (c !== '<') {
      text += c
      i += 1
    } else if (html.charAt(i + 1) === '/') {
      const end = html.slice(i).match(/^<\/([^\s>]*)\s*>/)
      const last = open.pop()
      if (!last) throw new CannotParse(`Unexpected end tag at byte offset ${bytes(html, i)}`)
      if (!end) throw new CannotParse(`Unclosed end tag at byte offset ${bytes(html, i)}`)
      const name = (end[1] ?? '').toLowerCase()
      if (name !== '' && name !== last.tag)
        throw new CannotParse(
          `Unmatched end tag at byte offset ${bytes(html, i)}, expected "</${last.tag}>", found "</${name}>"`,
        )
      close(last.tag, last.offset, last.attributes)
      i += end[0].length
    } else {
      const { tag, attributes, length } = startTag(html, i)
      open.push({ tag, attributes, offset: text.length, at: i })
      i += length
    }
  }
  const left = open.pop()
  if (left) throw new CannotParse(`Can't find end tag corresponding to start tag "${left.tag}"`)
  return { text, entities: entities.sort((a, b) => a.offset - b.offset || b.length - a.length) }

  function close(tag: string, offset: number, attributes: Map<string, string>): void {
    const length = text.length - offset
    if (length === 0) return
    const type = tag === 'span' ? 'spoiler' : (types[tag] ?? tag)
    if (tag === 'a') {
      const url = attributes.get('href') ?? text.slice(offset)
      if (/^tg:\/\/user\?id=\d+$/.test(url)) entities.push({ type: 'text_mention', offset, length })
      else if (/^(?:https?|mailto|tg):/i.test(url) && URL.canParse(url)) entities.push({ type, offset, length, url })
    } else if (tag === 'code' && attributes.get('class')?.startsWith('language-')) {
      // Inside <pre> it only names the language; its own entity is taken back when that closes.
      entities.push({ type, offset, length, language: attributes.get('class')?.slice('language-'.length) ?? '' })
    } else if (tag === 'pre') {
      const last = entities.at(-1)
      const inner =
        last?.type === 'code' && last.offset === offset && last.length === length ? entities.pop() : undefined
      entities.push({ type, offset, length, ...(inner?.language && { language: inner.language }) })
    } else entities.push({ type, offset, length })
  }
}

function startTag(html: string, at: number): { tag: string; attributes: Map<string, string>; length: number } {
  const where = `at byte offset ${bytes(html, at)}`
  const tag = (html.slice(at + 1).match(/^[^\s>]*/)?.[0] ?? '').toLowerCase()
  let i = at + 1 + tag.length
  if (i >= html.length) throw new CannotParse(`Unclosed start tag ${where}`)
  if (types[tag] === undefined && tag !== 'span' && tag !== 'tg-emoji')
    throw new CannotParse(`Unsupported start tag "${tag}" ${where}`)
  const attributes = new Map<string, string>()
  for (;;) {
    i += html.slice(i).match(/^\s*/)?.[0].length ?? 0
    if (i >= html.length) throw new CannotParse(`Unclosed start tag "${tag}" ${where}`)
    if (html.charAt(i) === '>') break
    const name = html.slice(i).match(/^[^\s=>]+/)?.[0]
    if (!name) throw new CannotParse(`Empty attribute name in the tag "${tag}" ${where}`)
    i += name.length
    if (html.charAt(i) !== '=') {
      attributes.set(name.toLowerCase(), '')
      continue
    }
    const value = html.slice(i + 1).match(/^(?:"([^"]*)"|'([^']*)'|([a-zA-Z0-9.-]+)(?=[\s>]))/)
    if (!value) throw new CannotParse(`Unclosed start tag "${tag}" ${where}`)
    const raw = value[1] ?? value[2] ?? value[3] ?? ''
    attributes.set(name.toLowerCase(), raw.replace(/&(?:lt|gt|amp|quot|#x[0-9a-fA-F]+|#[0-9]+);/g, character))
    i += 1 + value[0].length
  }
  if (tag === 'span' && attributes.get('class') !== 'tg-spoiler')
    throw new CannotParse(`Tag "span" must have class "tg-spoiler" ${where}`)
  return { tag, attributes, length: i + 1 - at }
}

function character(reference: string): string {
  const named = { '&lt;': '<', '&gt;': '>', '&amp;': '&', '&quot;': '"' }[reference]
  if (named) return named
  const point = reference.startsWith('&#x') ? Number.parseInt(reference.slice(3), 16) : Number(reference.slice(2, -1))
  return point > 0 && point <= 0x10ffff && !(point >= 0xd800 && point <= 0xdfff) ? String.fromCodePoint(point) : ''
}

function bytes(html: string, at: number): number {
  return Buffer.byteLength(html.slice(0, at))
}

/** The names that Telegram finds by itself in what is not code. */
export function mentionsIn({ text, entities }: FormattedText): string[] {
  const code = entities.filter(({ type }) => type === 'code' || type === 'pre')
  return [...text.matchAll(/(?<![A-Za-z0-9_])@[A-Za-z0-9_]{2,32}/g)]
    .filter(({ index }) => !code.some(({ offset, length }) => index >= offset && index < offset + length))
    .map(([name]) => name)
}
