import { type Conversation, lastResult, resultsOf } from './conversation.ts'

const placeholder = /\{\{([^{}]*)\}\}/g
const known = /^(user|turns|tools|result|results\.[0-9]{1,4}(\.[A-Za-z0-9_.-]{1,128})?)$/

/** What is wrong with a template, for whoever wrote the script; undefined where nothing is. */
export function checkTemplate(text: string): string | undefined {
  for (const [, name = ''] of text.matchAll(placeholder)) {
    if (!known.test(name.trim())) return `{{${name}}} is not a value that a script may name`
  }
  return undefined
}

/** A template with its values; what the conversation does not hold is empty. */
export function fill(text: string, conversation: Conversation): string {
  return text.replace(placeholder, (_, name: string) => valueNamed(name.trim(), conversation))
}

function valueNamed(name: string, conversation: Conversation): string {
  switch (name) {
    case 'user':
      return conversation.user.trim()
    case 'turns':
      return String(conversation.turns)
    case 'tools':
      return conversation.tools.join(', ')
    case 'result':
      return lastResult(conversation)?.trim() ?? ''
    default: {
      const [, index = '', path] = /^results\.(\d+)(?:\.(.+))?$/.exec(name) ?? []
      const result = resultsOf(conversation)[Number(index)] ?? ''
      return (path ? fieldOf(result, path.split('.')) : result).trim()
    }
  }
}

function fieldOf(result: string, path: string[]): string {
  let value: unknown
  try {
    value = JSON.parse(result)
  } catch {
    return result
  }
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return result
    value = (value as Record<string, unknown>)[key]
  }
  return typeof value === 'string' ? value : JSON.stringify(value)
}
