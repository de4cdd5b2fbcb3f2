import * as z from 'zod'
import type { Json } from '../rules.ts'
import type { Item } from './items.ts'

const content = z.union([z.string(), z.array(z.object({ type: z.string(), text: z.string().optional() }))]).nullish()

const request = z.object({
  messages: z
    .array(
      z.discriminatedUnion('role', [
        z.object({ role: z.enum(['system', 'developer', 'user']), content }),
        z.object({
          role: z.literal('assistant'),
          content,
          tool_calls: z.array(z.object({ function: z.object({ name: z.string(), arguments: z.string() }) })).nullish(),
        }),
        z.object({ role: z.literal('tool'), content, tool_call_id: z.string() }),
      ]),
    )
    .min(1),
  tools: z.array(z.object({ function: z.looseObject({ name: z.string() }) })).nullish(),
})

/** The items and tools of a chat completion. Throws ZodError. */
export function fromOpenai(body: Json): { items: Item[]; tools: { name: string }[] } {
  const { messages, tools } = request.parse(body)
  const offers = (tools ?? []).map(({ function: f }) => ({
    name: f.name,
    description: f.description,
    schema: f.parameters,
  }))
  return { items: messages.map(itemOf), tools: offers }
}

function itemOf(message: z.infer<typeof request>['messages'][number]): Item {
  const text = textOf(message.content)
  switch (message.role) {
    case 'system':
    case 'developer':
      return { kind: 'system', text }
    case 'user':
      return { kind: 'user', text }
    case 'assistant':
      return { kind: 'assistant', text, calls: (message.tool_calls ?? []).map((call) => call.function) }
    case 'tool':
      return { kind: 'result', text }
  }
}

function textOf(value: z.infer<typeof content>): string {
  if (typeof value === 'string') return value
  return (value ?? []).map((part) => part.text ?? '').join('')
}
