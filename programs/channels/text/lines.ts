import { type Grammar, nest } from './nest.ts'
import { commonMarks, type Marks, type Span, sameMarks } from './spans.ts'

/** A service whose markup is signs around words, line by line, with fences around blocks of code. */
export interface LineGrammar extends Grammar {
  fence(lang: string, code: string): string
  /** Takes the meaning from what is literal at the start of a line and would have one there. */
  lineStart(line: string): string
}

/** Blocks of code between fences, all else line by line: no sign of such a service reaches past the end of its line. */
export function writeLines(spans: readonly Span[], grammar: LineGrammar): string {
  const written: string[] = []
  // Nothing while the line of a fence has not ended.
  let line: Span[] | undefined = []
  const endLine = () => {
    if (!line) return
    const inner = grammar.lineStart(nest(tidy(line.map(unquoted)), grammar))
    written.push(line[0]?.marks.quote ? `> ${inner}` : inner)
  }
  for (const { text, marks } of spans) {
    if (marks.pre !== undefined) {
      if (line && line.length > 0) endLine()
      written.push(grammar.fence(marks.pre, text.replace(/\n+$/, '')))
      line = undefined
      continue
    }
    text.split('\n').forEach((part, i) => {
      if (i > 0) {
        endLine()
        line = []
      }
      if (!part) return
      line ??= []
      line.push({ text: part, marks })
    })
  }
  if (line && line.length > 0) endLine()
  return written.join('\n')
}

function unquoted({ text, marks: { quote: _, ...marks } }: Span): Span {
  return { text, marks }
}

/** Parts words and gives a service room to read its signs: an invisible space where one stands inside a word. */
const joint = '\u200b'

/**
 * White space at the edge of a mark would keep its sign from being read: it is marked only where both sides are.
 * Where marks change inside a word a joint is put.
 */
function tidy(line: readonly Span[]): Span[] {
  const parts = line.flatMap(({ text, marks }): Span[] =>
    marks.code ? [{ text, marks }] : (text.match(/\s+|\S+/g) ?? []).map((part) => ({ text: part, marks })),
  )
  const after = new Array<Marks>(parts.length).fill({})
  parts.reduceRight<Marks>((next, part, i) => {
    after[i] = next
    return isSolid(part) ? part.marks : next
  }, {})
  const out: Span[] = []
  let before: Marks = {}
  for (const [i, part] of parts.entries()) {
    const last = out.at(-1)
    if (!isSolid(part)) add(out, { text: part.text, marks: commonMarks(before, after[i] ?? {}) })
    else {
      if (last && !sameMarks(last.marks, part.marks) && !isRoom(last, -1) && !isRoom(part, 0))
        add(out, { text: joint, marks: commonMarks(last.marks, part.marks) })
      before = part.marks
      add(out, part)
    }
  }
  return out
}

function isSolid({ text, marks }: Span): boolean {
  return marks.code === true || text.trim() !== ''
}

/** Whether the character at that end is one beside which every service reads its signs. */
function isRoom({ text, marks }: Span, end: -1 | 0): boolean {
  const c = text.at(end) ?? ''
  return /\s/.test(c) || (Object.keys(marks).length === 0 && /[.,:;!?()"'-]/.test(c))
}

function add(spans: Span[], span: Span): void {
  const last = spans.at(-1)
  if (last && sameMarks(last.marks, span.marks))
    spans[spans.length - 1] = { text: last.text + span.text, marks: span.marks }
  else spans.push(span)
}
