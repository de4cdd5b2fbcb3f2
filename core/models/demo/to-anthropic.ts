import type { Json } from '../rules.ts'
import { demoModel } from '../wire.ts'
import type { Line } from './play.ts'
import type { DemoPiece } from './reply.ts'

const stopReasons = { stop: 'end_turn', length: 'max_tokens', tools: 'tool_use' } as const

export function anthropicDocument(line: Line): Json {
  const calls = line.calls.map(({ id, name, arguments: text }) => ({
    type: 'tool_use',
    id,
    name,
    input: JSON.parse(text) as unknown,
  }))
  const text = line.text.length > 0 ? [{ type: 'text', text: line.text.join('') }] : []
  return {
    ...head(line),
    content: [...text, ...calls],
    stop_reason: stopReasons[line.finish],
    stop_sequence: null,
    usage: { input_tokens: line.usage.input, output_tokens: line.usage.output },
  }
}

/** The arguments of a call come in two cuts, as the real provider sends them. */
export function anthropicEvents(line: Line): DemoPiece[] {
  const usage = { input_tokens: line.usage.input, output_tokens: Math.min(1, line.usage.output) }
  const message = { ...head(line), content: [], stop_reason: null, stop_sequence: null, usage }
  const pieces = [piece({ type: 'message_start', message })]
  let index = 0
  if (line.text.length > 0) {
    pieces.push(piece({ type: 'content_block_start', index, content_block: { type: 'text', text: '' } }))
    for (const text of line.text) {
      pieces.push(piece({ type: 'content_block_delta', index, delta: { type: 'text_delta', text } }, line.delayMs))
    }
    pieces.push(piece({ type: 'content_block_stop', index }))
    index += 1
  }
  for (const call of line.calls) {
    const block = { type: 'tool_use', id: call.id, name: call.name, input: {} }
    const half = Math.ceil(call.arguments.length / 2)
    pieces.push(piece({ type: 'content_block_start', index, content_block: block }, line.delayMs))
    for (const cut of [call.arguments.slice(0, half), call.arguments.slice(half)]) {
      const delta = { type: 'input_json_delta', partial_json: cut }
      pieces.push(piece({ type: 'content_block_delta', index, delta }))
    }
    pieces.push(piece({ type: 'content_block_stop', index }))
    index += 1
  }
  const delta = { stop_reason: stopReasons[line.finish], stop_sequence: null }
  pieces.push(piece({ type: 'message_delta', delta, usage: { output_tokens: line.usage.output } }))
  pieces.push(piece({ type: 'message_stop' }))
  return pieces
}

function piece(data: Json & { type: string }, delayMs = 0): DemoPiece {
  return { delayMs, bytes: `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n` }
}

function head(line: Line): Json {
  return { id: `msg_demo_${line.id}`, type: 'message', role: 'assistant', model: demoModel }
}
