import { ApiError } from './api-error.ts'
import { isObject, type Json, listAt, objectAt, stringAt } from './json.ts'

export type Predicate = (labels: Record<string, unknown>) => boolean

type Operator = 'in' | 'notin' | 'exists' | 'absent' | 'gt' | 'lt'

interface Requirement {
  key: string
  operator: Operator
  values: string[]
}

function matches({ key, operator, values }: Requirement, labels: Record<string, unknown>): boolean {
  const isThere = Object.hasOwn(labels, key)
  const value = String(labels[key])
  switch (operator) {
    case 'in':
      return isThere && values.includes(value)
    case 'notin':
      return !isThere || !values.includes(value)
    case 'exists':
      return isThere
    case 'absent':
      return !isThere
    case 'gt':
      return isThere && Number(value) > Number(values[0])
    case 'lt':
      return isThere && Number(value) < Number(values[0])
  }
}

/** Parses a selector as it stands in a URL: `a=b,c!=d,e in (f,g),h,!i`. */
export function parseLabelSelector(text: string): Predicate {
  const requirements = splitTerms(text).map((term) => parseTerm(term, text))
  return (labels) => requirements.every((requirement) => matches(requirement, labels))
}

function parseTerm(term: string, whole: string): Requirement {
  const set = term.match(/^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/)
  if (set?.[1]) {
    return {
      key: set[1],
      operator: set[2] === 'in' ? 'in' : 'notin',
      values: (set[3] ?? '').split(',').map((v) => v.trim()),
    }
  }
  const pair = term.match(/^([^\s=!<>]+)\s*(==|=|!=|>|<)\s*([^\s=!<>]*)$/)
  if (pair?.[1]) {
    const operators: Record<string, Operator> = { '=': 'in', '==': 'in', '!=': 'notin', '>': 'gt', '<': 'lt' }
    return { key: pair[1], operator: operators[pair[2] ?? '='] ?? 'in', values: [pair[3] ?? ''] }
  }
  const single = term.match(/^(!?)\s*([^\s=!<>(),]+)$/)
  if (single?.[2]) return { key: single[2], operator: single[1] ? 'absent' : 'exists', values: [] }
  throw new ApiError(400, 'BadRequest', `unable to parse requirement: "${term}" in the selector "${whole}"`)
}

/** Commas part terms, except between parentheses. */
function splitTerms(text: string): string[] {
  const terms: string[] = []
  let depth = 0
  let start = 0
  for (let index = 0; index <= text.length; index++) {
    const char = text[index]
    if (char === '(') depth++
    else if (char === ')') depth--
    else if (index === text.length || (char === ',' && depth === 0)) {
      const term = text.slice(start, index).trim()
      if (term) terms.push(term)
      start = index + 1
    }
  }
  return terms
}

/** A metav1.LabelSelector; an empty one matches everything. */
export function matchesLabelSelector(selector: unknown, labels: Json): boolean {
  if (!isObject(selector)) return false
  const pairs = Object.entries(objectAt(selector, 'matchLabels'))
  if (!pairs.every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value)) return false
  const operators: Record<string, Operator> = { In: 'in', NotIn: 'notin', Exists: 'exists', DoesNotExist: 'absent' }
  return listAt(selector, 'matchExpressions').every((expression) =>
    matches(
      {
        key: stringAt(expression, 'key'),
        operator: operators[stringAt(expression, 'operator')] ?? 'absent',
        values: listAt(expression, 'values').map(String),
      },
      labels,
    ),
  )
}

/** Parses `a.b=c,d!=e`. Which fields there are is checked by the reader of the result. */
export function parseFieldSelector(text: string): { field: string; value: string; isEqual: boolean }[] {
  return splitEscaped(text).map((term) => {
    const match = term.match(/^([^=!]+)(==|=|!=)(.*)$/s)
    if (!match?.[1]) {
      throw new ApiError(400, 'BadRequest', `invalid selector: '${text}'; can't understand '${term}'`)
    }
    return { field: match[1].trim(), isEqual: match[2] !== '!=', value: unescaped(match[3] ?? '') }
  })
}

function splitEscaped(text: string): string[] {
  return (text.match(/(?:\\.|[^\\,])+/gs) ?? []).filter((term) => term.trim() !== '')
}

function unescaped(value: string): string {
  return value.replace(/\\([\\,=])/g, '$1')
}
