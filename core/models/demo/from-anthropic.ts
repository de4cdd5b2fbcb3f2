import * as z from 'zod'
import type { Json } from '../rules.ts'
import type { Item } from './items.ts'

const texts = z.union([z.string(), z.array(z.object({ type: z.string(), text: z.string().optional() }))]).nullish()

const block = z.object({
  type: z.string(),
  text: z.string().optional(),
  name: z.string().optional(),
  input: z.unknown().optional(),
  content: texts,
})

const request = z.object({
  system: texts,
  messages: z
    .array(z.object({ role: z.enum(['user', 'assistant']), content: z.union([z.string(), z.array(block)]) }))
    .min(1),
  tools: z
    .array(z.object({ name: z.string(), description: z.unknown().optional(), input_schema: z.unknown().optional() }))
    .nullish(),
})

/**
 * The items and tools of a messages request. A user's message of the wire that holds tool results gives one item for
 * each, and one for its text where there is any. Throws ZodError.
 */
export function fromAnthropic(body: Json): { items: Item[]; tools: { name: string }[] } {
  const { system, messages, tools } = request.parse(body)
  const items: Item[] = system ? [{ kind: 'system', text: textOf(system) }] : []
  for (const { role, content } of messages) {
    const blocks = typeof content === 'string' ? [{ type: 'text', text: content }] : content
    const text = textOf(blocks.filter((b) => b.type === 'text'))
    if (role === 'assistant') {
      const calls = blocks.filter((b) => b.type === 'tool_use').map(callOf)
      items.push({ kind: 'assistant', text, calls })
      continue
    }
    const results = blocks.filter((b) => b.type === 'tool_result')
    items.push(...results.map((b): Item => ({ kind: 'result', text: textOf('content' in b ? b.content : '') })))
    if (text !== '' || results.length === 0) items.push({ kind: 'user', text })
  }
  return {
    items,
    tools: (tools ?? []).map((t) => ({ name: t.name, description: t.description, schema: t.input_schema })),
  }
}

function callOf(b: z.infer<typeof block>): { name: string; arguments: string } {
  return { name: b.name ?? '', arguments: JSON.stringify(b.input ?? {}) }
}

function textOf(value: z.infer<typeof texts>): string {
  if (typeof value === 'string') return value
  return (value ?? []).map((part) => part.text ?? '').join('')
}
