import type { Json } from '../rules.ts'
import { isObject } from '../rules.ts'
import { demoModel } from '../wire.ts'
import type { Line } from './play.ts'
import type { DemoPiece } from './reply.ts'

const finishReasons = { stop: 'stop', length: 'length', tools: 'tool_calls' } as const

export function openaiDocument(line: Line): Json {
  const toolCalls = line.calls.map(({ id, name, arguments: text }) => ({
    id,
    type: 'function',
    function: { name, arguments: text },
  }))
  return {
    ...head(line, 'chat.completion'),
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: line.text.length > 0 ? line.text.join('') : null,
          ...(toolCalls.length > 0 ? { tool_calls: toolCalls } : {}),
        },
        finish_reason: finishReasons[line.finish],
      },
    ],
    usage: usageOf(line),
  }
}

/** The arguments of a call come in two cuts, as real providers send them. */
export function openaiEvents(line: Line, body: Json): DemoPiece[] {
  const pieces: DemoPiece[] = [{ delayMs: 0, bytes: chunk(line, { role: 'assistant', content: '' }) }]
  for (const text of line.text) pieces.push({ delayMs: line.delayMs, bytes: chunk(line, { content: text }) })
  for (const [index, call] of line.calls.entries()) {
    const half = Math.ceil(call.arguments.length / 2)
    const start = { index, id: call.id, type: 'function', function: { name: call.name, arguments: '' } }
    const cuts = [call.arguments.slice(0, half), call.arguments.slice(half)]
    pieces.push({ delayMs: line.delayMs, bytes: chunk(line, { tool_calls: [start] }) })
    for (const cut of cuts) {
      pieces.push({ delayMs: 0, bytes: chunk(line, { tool_calls: [{ index, function: { arguments: cut } }] }) })
    }
  }
  pieces.push({ delayMs: 0, bytes: chunk(line, {}, finishReasons[line.finish]) })
  if (isObject(body.stream_options) && body.stream_options.include_usage === true) {
    const closing = { ...head(line, 'chat.completion.chunk'), choices: [], usage: usageOf(line) }
    pieces.push({ delayMs: 0, bytes: event(closing) })
  }
  pieces.push({ delayMs: 0, bytes: 'data: [DONE]\n\n' })
  return pieces
}

function chunk(line: Line, delta: Json, finish: string | null = null): string {
  return event({ ...head(line, 'chat.completion.chunk'), choices: [{ index: 0, delta, finish_reason: finish }] })
}

function event(data: Json): string {
  return `data: ${JSON.stringify(data)}\n\n`
}

/** `created` is 0, since the same request gives the same bytes. */
function head(line: Line, object: string): Json {
  return { id: `chatcmpl-demo-${line.id}`, object, created: 0, model: demoModel }
}

function usageOf({ usage }: Line): Json {
  return {
    prompt_tokens: usage.input,
    completion_tokens: usage.output,
    total_tokens: usage.input + usage.output,
  }
}
