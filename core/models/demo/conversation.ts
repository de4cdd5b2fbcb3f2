import * as z from 'zod'
import { ClawError } from '#core/errors'
import type { Json } from '../rules.ts'
import type { WireFormat } from '../wire.ts'
import { fromAnthropic } from './from-anthropic.ts'
import { fromOpenai } from './from-openai.ts'
import type { Item } from './items.ts'

/** A request as the demo model sees it; the same conversation in either wire format gives the same. */
export interface Conversation {
  items: Item[]
  /** Names of the tools that are offered. */
  tools: string[]
  /** Tokens of the request. */
  tokens: number
  /** The last message of the user. */
  user: string
  /** Replies since then. */
  turns: number
  /** Replies in all: what makes the ids of tool calls unique in a conversation. */
  replies: number
}

/** Reads a judged request. Throws ClawError `invalid` naming the field for what is not of the wire format. */
export function conversationOf(format: WireFormat, body: Json): Conversation {
  try {
    const { items, tools } = format === 'openai' ? fromOpenai(body) : fromAnthropic(body)
    const lastUser = items.findLastIndex((item) => item.kind === 'user')
    const said = items[lastUser]
    return {
      items,
      tools: tools.map((tool) => tool.name),
      tokens: count([...items.map(textOf), ...tools.map((tool) => JSON.stringify(tool))]),
      user: said?.kind === 'user' ? said.text : '',
      turns: items.slice(lastUser + 1).filter((item) => item.kind === 'assistant').length,
      replies: items.filter((item) => item.kind === 'assistant').length,
    }
  } catch (error) {
    if (!(error instanceof z.ZodError)) throw error
    const field = error.issues[0]?.path.join('.') ?? ''
    throw new ClawError('invalid', `${field}: ${error.issues[0]?.message ?? 'is not valid'}`, { field, cause: error })
  }
}

/** The tool results since the last message of the user, oldest first. */
export function resultsOf(conversation: Conversation): string[] {
  const from = conversation.items.findLastIndex((item) => item.kind === 'user') + 1
  return conversation.items.slice(from).flatMap((item) => (item.kind === 'result' ? [item.text] : []))
}

export function lastResult(conversation: Conversation): string | undefined {
  return resultsOf(conversation).at(-1)
}

/** Tokens of some texts: each has ceil(bytes of UTF-8 / 4). */
export function count(texts: string[]): number {
  return texts.reduce((sum, text) => sum + Math.ceil(Buffer.byteLength(text, 'utf8') / 4), 0)
}

function textOf(item: Item): string {
  return item.kind === 'assistant' ? item.text + item.calls.map((c) => c.name + c.arguments).join('') : item.text
}
