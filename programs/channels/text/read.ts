import { Lexer, type Token, type Tokens } from 'marked'
import { errorMessage } from '#core/errors'
import { clean, decode } from './clean.ts'
import { safeHref } from './links.ts'
import { type Marks, type Span, sameMarks } from './spans.ts'
import { drawTable } from './table.ts'

/** More signs of markup than this in one paragraph are shown as they are: reading them all takes longer than linear time. */
const maxSigns = 400

/**
 * Markdown as a flat list of spans. It never fails: what is not Markdown, nests deeper than the stack or is made to
 * be slow comes out as the text that it is. HTML is text.
 */
export function read(markdown: string): Span[] {
  const source = clean(markdown)
  try {
    const page = new Page()
    page.blocks(lex(source), {})
    return page.spans
  } catch (error) {
    if (error instanceof RangeError) return [{ text: source, marks: {} }]
    throw new Error(`reading Markdown: ${errorMessage(error)}`, { cause: error })
  }
}

/** marked's own `lex`, but for the paragraphs that are left alone. */
function lex(source: string): Token[] {
  const lexer = new Lexer({ gfm: true })
  const blocks = lexer.blockTokens(source, lexer.tokens)
  // The queue grows while it is read: table cells and list items add to it.
  for (const { src, tokens } of lexer.inlineQueue) {
    if ((src.match(/[*_~`[\]<!\\]/g)?.length ?? 0) > maxSigns) tokens.push({ type: 'escape', raw: src, text: src })
    else lexer.inlineTokens(src, tokens)
  }
  return blocks
}

// marked's `Token` has a case for anything at all, which hides the others; what is of neither kind is written as it is.
type Block =
  | Tokens.Space
  | Tokens.Def
  | Tokens.Heading
  | Tokens.Paragraph
  | Tokens.Blockquote
  | Tokens.List
  | Tokens.Code
  | Tokens.Table
  | Tokens.Hr
  | Tokens.HTML
type Inline =
  | Tokens.Strong
  | Tokens.Em
  | Tokens.Del
  | Tokens.Codespan
  | Tokens.Link
  | Tokens.Image
  | Tokens.Br
  | Tokens.Checkbox
  | Tokens.Tag
  | Tokens.Escape
  | Tokens.Text

/** Writes blocks one below the other: how far apart they are is known only when the next one comes. */
class Page {
  readonly spans: Span[] = []
  #gap = 0
  #indent = ''
  #length = 0

  blocks(tokens: readonly Token[], marks: Marks): void {
    for (const token of tokens) this.#block(token, marks)
  }

  #block(token: Token, marks: Marks): void {
    const it = token as Block
    switch (it.type) {
      case 'space':
      case 'def':
        break
      case 'heading':
        this.#alone(() => this.#inline(it.tokens, { ...marks, bold: true }))
        break
      case 'paragraph':
        this.#alone(() => this.#inline(it.tokens, marks))
        break
      case 'blockquote':
        this.#alone(() => this.blocks(it.tokens, { ...marks, quote: true }))
        break
      case 'list':
        this.#list(it, marks)
        break
      case 'code':
        this.#code(it.text, it.lang ?? '')
        break
      case 'table':
        this.#code(drawTable(it), '')
        break
      case 'hr':
        this.#alone(() => this.#write('———', marks))
        break
      case 'html':
        if (it.block) this.#alone(() => this.#write(it.text.trimEnd(), marks))
        else this.#inline([it], marks)
        break
      default:
        this.#inline([token], marks)
    }
  }

  #alone(write: () => void, lines = 2): void {
    this.#apart(lines)
    write()
    this.#apart(lines)
  }

  #list(list: Tokens.List, marks: Marks): void {
    const before = this.#indent
    this.#apart(before ? 1 : 2)
    list.items.forEach((item, i) => {
      const sign = item.task ? (item.checked ? '☑ ' : '☐ ') : list.ordered ? `${Number(list.start || 1) + i}. ` : '• '
      this.#write(sign, marks)
      this.#indent = `${before}  `
      this.blocks(item.tokens, marks)
      this.#indent = before
      this.#gap = Math.min(this.#gap, list.loose && !before ? 2 : 1)
      this.#apart(1)
    })
    this.#apart(before ? 1 : 2)
  }

  #code(text: string, info: string): void {
    const lang = info.match(/^[\w+#.-]{1,32}/)?.[0] ?? ''
    this.#alone(() => this.#write(text.replace(/\s+$/, '') || ' ', { pre: lang }), this.#indent ? 1 : 2)
  }

  #inline(tokens: readonly Token[], marks: Marks): void {
    for (const token of tokens) {
      const it = token as Inline
      switch (it.type) {
        case 'strong':
          this.#inline(it.tokens, { ...marks, bold: true })
          break
        case 'em':
          this.#inline(it.tokens, { ...marks, italic: true })
          break
        case 'del':
          this.#inline(it.tokens, { ...marks, strike: true })
          break
        case 'codespan':
          // A link is worth more than the look of its text.
          this.#write(it.text, marks.href ? marks : { ...(marks.quote && { quote: true }), code: true })
          break
        case 'link':
          this.#link(it, it.tokens, marks)
          break
        case 'image':
          this.#link(it, [{ type: 'text', raw: it.text, text: it.text }], marks)
          break
        case 'br':
          this.#write('\n', marks)
          break
        case 'checkbox':
          // The sign of its item.
          break
        case 'html':
          this.#write(/^<br\s*\/?>$/i.test(it.text) ? '\n' : it.text, marks)
          break
        case 'escape':
          this.#write(it.text, marks)
          break
        case 'text':
          if (it.tokens) this.#inline(it.tokens, marks)
          else this.#write(decode(it.text), marks)
          break
        default:
          this.#write(token.raw, marks)
      }
    }
  }

  /** Where the address is not one to click on, it is text, since it may be what was to be said. */
  #link(link: { href: string; autolink?: boolean }, tokens: readonly Token[], marks: Marks): void {
    const written = link.autolink ? link.href : decode(link.href)
    const href = safeHref(written)
    const start = this.#length
    this.#inline(tokens, href ? { ...marks, href } : marks)
    if (this.#length === start) this.#write(href ?? written, href ? { ...marks, href } : marks)
    else if (!href && !link.autolink && /^https?:/i.test(written)) this.#write(` (${written})`, marks)
  }

  #apart(lines: number): void {
    this.#gap = Math.max(this.#gap, lines)
  }

  #write(raw: string, marks: Marks): void {
    // A second time, for what came as a character reference.
    const text = clean(raw)
    if (!text) return
    const last = this.spans.at(-1)
    if (last && this.#gap > 0) {
      const between: Marks = last.marks.quote && marks.quote ? { quote: true } : {}
      this.#push('\n'.repeat(this.#gap) + (marks.pre === undefined ? this.#indent : ''), between)
    }
    this.#gap = 0
    this.#push(marks.pre === undefined ? text.replace(/\n/g, `\n${this.#indent}`) : text, marks)
  }

  #push(text: string, marks: Marks): void {
    this.#length += text.length
    const last = this.spans.at(-1)
    if (last && sameMarks(last.marks, marks)) this.spans[this.spans.length - 1] = { text: last.text + text, marks }
    else this.spans.push({ text, marks })
  }
}
