import { setTimeout as delay } from 'node:timers/promises'
import { parseEvent, type RunEvent } from '../../programs/cli/follow.ts'
import type { TestPlatform } from './platform.ts'

export type StreamEvent = RunEvent

/** A client of a run's stream that, whenever its connection breaks, resumes at its cursor, until the outcome. */
export function streamOf(
  platform: TestPlatform,
  namespace: string,
  run: string,
  on: (event: StreamEvent) => void,
): { done: Promise<void> } {
  const read = async () => {
    const deadline = Date.now() + 120_000
    let cursor: string | undefined
    while (Date.now() < deadline) {
      try {
        const response = await platform.fetch(`/api/v1/namespaces/${namespace}/runs/${run}/events`, {
          headers: { Accept: 'text/event-stream', ...(cursor ? { 'Last-Event-ID': cursor } : {}) },
          signal: AbortSignal.timeout(deadline - Date.now()),
        })
        if (response.ok && response.body) {
          let text = ''
          for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
            text += chunk
            for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
              const event = parseEvent(text.slice(0, end))
              text = text.slice(end + 2)
              if (!event) continue
              cursor = event.id
              on(event)
              if (event.type === 'outcome') return
            }
          }
        }
      } catch {
        // The server went away in the middle: resume at the cursor.
      }
      await delay(50)
    }
    throw new Error(`no outcome in the stream of ${run}`)
  }
  return { done: read() }
}
