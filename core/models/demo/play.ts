import { createHash } from 'node:crypto'
import { ClawError } from '#core/errors'
import type { TokenUsage } from '../wire.ts'
import { type Conversation, count, lastResult } from './conversation.ts'
import type { DemoArgument, DemoScript, DemoStep } from './script.ts'
import { fill } from './template.ts'

/** What the demo model says, before it is put into a wire format. */
export interface Line {
  /** Derived from the conversation: the same one gets the same reply with the same id. */
  id: string
  delayMs: number
  text: string[]
  calls: { id: string; name: string; arguments: string }[]
  finish: 'stop' | 'length' | 'tools'
  usage: TokenUsage
}

export interface Failure {
  delayMs: number
  error: { status: number; message: string; retryable: boolean }
}

/** The reply of the first step that holds. Throws ClawError `invalid` where none does. */
export function play(script: DemoScript, conversation: Conversation): Line | Failure {
  const step = script.steps.find((s) => holds(s.when, conversation))
  if (!step) {
    const { turns } = conversation
    throw new ClawError('invalid', `no step of the demo script holds after ${turns} replies to this message`)
  }
  const { reply } = step
  if (reply.error) return { delayMs: reply.delayMs, error: reply.error }
  const text = pieces(reply.text ?? [], conversation)
  const calls = reply.toolCalls.map((call, i) => ({
    id: `call_demo_${conversation.replies}_${i}`,
    name: call.name,
    arguments: JSON.stringify(filled(call.arguments, conversation)),
  }))
  const said = count([text.join(''), ...calls.map((c) => c.name + c.arguments)])
  return {
    id: createHash('sha256').update(JSON.stringify(conversation.items)).digest('hex').slice(0, 16),
    delayMs: reply.delayMs,
    text,
    calls,
    finish: reply.finish ?? (calls.length > 0 ? 'tools' : 'stop'),
    usage: reply.usage ?? { input: conversation.tokens, output: said },
  }
}

function holds(when: DemoStep['when'], conversation: Conversation): boolean {
  if (when.turns !== undefined && when.turns !== conversation.turns) return false
  if (when.user !== undefined && !matches(when.user, conversation.user)) return false
  if (when.tools && !when.tools.every((name) => conversation.tools.includes(name))) return false
  if (when.result === undefined) return true
  const result = lastResult(conversation)
  return result !== undefined && matches(when.result, result)
}

/** Words with the space behind them, so that a text streams as a model's does; a list streams as it stands. */
function pieces(text: string | string[], conversation: Conversation): string[] {
  if (Array.isArray(text)) return text.map((piece) => fill(piece, conversation)).filter((piece) => piece !== '')
  return fill(text, conversation).match(/\s*\S+\s*|\s+/g) ?? []
}

function filled(value: DemoArgument, conversation: Conversation): DemoArgument {
  if (typeof value === 'string') return fill(value, conversation)
  if (Array.isArray(value)) return value.map((entry) => filled(entry, conversation))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, filled(entry, conversation)]))
}

/** Whether a glob with `*` matches the whole text; in linear time, for the text is not ours. */
export function matches(glob: string, text: string): boolean {
  const [first = '', ...rest] = glob.split('*')
  if (rest.length === 0) return text === glob
  const last = rest.pop() ?? ''
  if (!text.startsWith(first) || text.length < first.length + last.length || !text.endsWith(last)) return false
  let from = first.length
  const end = text.length - last.length
  for (const part of rest) {
    const at = text.indexOf(part, from)
    if (at < 0 || at + part.length > end) return false
    from = at + part.length
  }
  return true
}
