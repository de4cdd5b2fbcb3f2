const token =
  /[ \t\n\r]*(?:("[ !#-[\]-\uffff]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[ !#-[\]-\uffff]*)*")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)|([[\]{},:]))/y
const value = 's v { ['

/** Where a text stops being JSON. */
export interface JsonPlace {
  /** From 1. */
  line: number
  /** Member of the outermost object in whose value that is, if it is in one. */
  field: string | undefined
}

/**
 * The place at which a text stops being JSON, be it wrong or cut; undefined where it does not. JSON.parse tells the
 * place of some mistakes and not of others, such as a brace where a value should be.
 */
export function mistakeIn(text: string): JsonPlace | undefined {
  const open: string[] = []
  let field: string | undefined
  let expected = value
  let key = false
  let end = 0
  for (;;) {
    token.lastIndex = end
    const match = token.exec(text)
    if (!match)
      return expected === '' && text.slice(end).trim() === '' ? undefined : { line: lineAfter(text, end), field }
    const [all, string, scalar, mark = string === undefined ? 'v' : 's'] = match
    if (!expected.includes(mark)) return { line: lineAfter(text, end), field }
    end += all.length
    if (mark === '{' || mark === '[') {
      open.push(mark)
      key = mark === '{'
      expected = key ? 's }' : `${value} ]`
    } else if (mark === ',') {
      key = open.at(-1) === '{'
      if (open.length === 1) field = undefined
      expected = key ? 's' : value
    } else if (mark === ':') {
      key = false
      expected = value
    } else if (key && string !== undefined) {
      if (open.length === 1) field = JSON.parse(string) as string
      expected = ':'
    } else {
      if (scalar === undefined && string === undefined) open.pop()
      key = false
      expected = { '{': ', }', '[': ', ]' }[open.at(-1) ?? ''] ?? ''
    }
  }
}

/** The line of the first character from there on that is not a space. */
function lineAfter(text: string, position: number): number {
  const rest = text.slice(position)
  const place = position + rest.length - rest.trimStart().length
  return text.slice(0, place).split('\n').length
}
