import type { RunEvent } from './follow.ts'
import { safe, safeLine } from './terminal.ts'

const shown = 400

export type Transcript = (event: Pick<RunEvent, 'type' | 'data'>) => void

/**
 * Turns the events of a run into what a terminal shows: the model's text as it comes, a line for each call and each
 * answer. Pure but for remembering whether the last piece ended its line, and the input of calls under way. With `brief`
 * the platform's own calls are left out, and a run that succeeds ends without a line about that.
 */
export function createTranscript(write: (text: string) => void, { brief = false } = {}): Transcript {
  let midLine = false
  let streamed = ''
  const line = (text: string) => {
    write(`${midLine ? '\n' : ''}${text}\n`)
    midLine = false
  }
  return ({ type, data }) => {
    switch (type) {
      case 'text': {
        const text = safe(String(data.text ?? ''))
        streamed += text
        write(text)
        if (text) midLine = !text.endsWith('\n')
        return
      }
      case 'status':
        return line(`   ${safeLine(String(data.text ?? ''))}`)
      case 'called': {
        const call = data.call as { id: string; tool: string; input?: unknown }
        const verdict = data.verdict as { action: string; reason: string }
        if (call.tool === 'model' || (brief && isOurs(call.id))) return
        line(`-> ${safeLine(call.tool)} ${cut(JSON.stringify(call.input ?? {}))}`)
        if (verdict.action === 'deny') line(`   refused: ${safeLine(verdict.reason)}`)
        return
      }
      case 'answered': {
        if (data.tool === 'model' || (brief && isOurs(String(data.callId)))) return
        const answer = data.answer as { ok: boolean; output?: unknown; error?: { code: string; message: string } }
        const text = answer.ok
          ? cut(JSON.stringify(answer.output ?? null))
          : `${answer.error?.code}: ${cut(answer.error?.message ?? '')}`
        return line(`<- ${safeLine(String(data.tool))} ${text}`)
      }
      case 'outcome': {
        const outcome = data as { phase?: string; reason?: string; result?: string; error?: string }
        // The answer has usually streamed already; what was not seen (no live text, another language) is shown now.
        if (outcome.result && !streamed.includes(safe(outcome.result))) line(safe(outcome.result))
        if (outcome.error) line(`error: ${safe(outcome.error)}`)
        if (!brief || outcome.phase !== 'Succeeded') return line(`${outcome.phase} (${outcome.reason})`)
        if (midLine) write('\n')
        midLine = false
        return
      }
    }
  }
}

/** Ids of agents have no colon. */
function isOurs(callId: string): boolean {
  return callId.includes(':')
}

function cut(text: string): string {
  const line = safeLine(text)
  return line.length > shown ? `${line.slice(0, shown)}...` : line
}
