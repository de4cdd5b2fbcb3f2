import { isObject } from '../json.ts'

type Step = { key: string } | { index: number } | { all: true } | { filter: string[]; value: string | undefined }

/**
 * The JSONPath that printer columns use: `.a.b`, `['a']`, `.a\.b`, `[0]`, `[-1]`, `[*]` and `[?(@.type=="Ready")]`.
 * Gives every match; undefined where the path itself is not understood.
 */
export function parseJsonPath(path: string): ((value: unknown) => unknown[]) | undefined {
  const steps = parseSteps(path)
  if (!steps) return undefined
  return (value) => steps.reduce<unknown[]>((values, step) => values.flatMap((one) => follow(one, step)), [value])
}

const token =
  /^(?:\.((?:\\.|[^.[\]\\])+)|\[(-?\d+)\]|\[(\*)\]|\['([^']*)'\]|\["([^"]*)"\]|\[\?\(@((?:\.[\w-]+)+)(?:\s*==\s*(?:'([^']*)'|"([^"]*)"|([\w.-]+)))?\)\])/

function parseSteps(path: string): Step[] | undefined {
  const steps: Step[] = []
  let rest = path.startsWith('.') || path.startsWith('[') ? path : `.${path}`
  if (rest === '.') return steps
  while (rest !== '') {
    const found = token.exec(rest)
    if (!found) return undefined
    const [whole, dotted, index, star, single, double, filter, ...values] = found
    const key = dotted?.replace(/\\(.)/g, '$1') ?? single ?? double
    if (star !== undefined || key === '*') steps.push({ all: true })
    else if (key !== undefined) steps.push({ key })
    else if (index !== undefined) steps.push({ index: Number(index) })
    else if (filter !== undefined) {
      steps.push({ filter: filter.split('.').slice(1), value: values.find((value) => value !== undefined) })
    }
    rest = rest.slice(whole.length)
  }
  return steps
}

function follow(value: unknown, step: Step): unknown[] {
  if ('key' in step) return isObject(value) && Object.hasOwn(value, step.key) ? [value[step.key]] : []
  if ('all' in step) return Array.isArray(value) ? value : isObject(value) ? Object.values(value) : []
  if (!Array.isArray(value)) return []
  if ('index' in step) {
    const item: unknown = value.at(step.index)
    return item === undefined ? [] : [item]
  }
  return value.filter((item) => {
    const found = step.filter.reduce<unknown>((at, key) => (isObject(at) ? at[key] : undefined), item)
    return step.value === undefined ? found !== undefined : String(found) === step.value
  })
}
