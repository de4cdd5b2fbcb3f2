import type { Marks, Span } from './spans.ts'

const order = ['quote', 'pre', 'bold', 'italic', 'strike', 'href', 'code'] as const
export type Mark = (typeof order)[number]

/** What one service writes for a mark and for text inside marks. */
export interface Grammar {
  /** `value` is the address of a link, the language of a block of code. */
  open(mark: Mark, value: string): string
  close(mark: Mark, value: string): string
  text(text: string, marks: Marks): string
}

/** Spans as nested markup: what a span shares with the one before stays open, in one order, so that nothing overlaps. */
export function nest(spans: readonly Span[], grammar: Grammar): string {
  const open: [Mark, string][] = []
  let out = ''
  const closeTo = (depth: number) => {
    for (const [mark, value] of open.splice(depth).reverse()) out += grammar.close(mark, value)
  }
  for (const { text, marks } of spans) {
    const wanted = order.flatMap((mark): [Mark, string][] => {
      const value = marks[mark]
      return value === undefined ? [] : [[mark, value === true ? '' : value]]
    })
    let shared = 0
    while (shared < open.length && open[shared]?.join() === wanted[shared]?.join()) shared++
    closeTo(shared)
    for (const [mark, value] of wanted.slice(shared)) {
      out += grammar.open(mark, value)
      open.push([mark, value])
    }
    out += grammar.text(text, marks)
  }
  closeTo(0)
  return out
}
