import type { Bus } from '#core/bus'
import type { RunAddress } from '#core/identity'
import {
  type Answer,
  historyCall,
  type Journal,
  receiveIn,
  type ToldConversation,
  toldConversation,
} from '#core/journal'
import { notOk } from './boundary.ts'

export interface AskOptions {
  journal: Journal
  bus: Bus
  address: RunAddress
  signal: AbortSignal
}

const patienceMs = 5_000

/**
 * What was said before in the conversation of this run. It is a call like any other: recorded, performed by who follows
 * the record, answered into the inbox, recorded. Without an answer in time the run begins without it, and says so.
 */
export async function askHistory(options: AskOptions): Promise<ToldConversation> {
  const { journal } = options
  const asked = journal.entries.some((entry) => entry.kind === 'called' && entry.call.id === historyCall.id)
  if (!asked) {
    const verdict = { action: 'allow', reason: 'a run may know its own conversation' } as const
    await journal.append({ kind: 'called', call: historyCall, verdict })
  }
  const started = performance.now()
  const answer =
    inboxAnswer(journal) ?? (await awaitAnswer(options)) ?? notOk('timeout', 'nobody answered what was said before')
  const told = answer.ok ? toldConversation.safeParse(answer.output) : undefined
  const known: ToldConversation = told?.success ? told.data : { history: [] }
  if (!journal.entries.some((entry) => entry.kind === 'answered' && entry.callId === historyCall.id)) {
    // The text itself stays in the inbox, which is part of the record.
    const output = { messages: known.history.length, historyCut: known.historyCut ?? false }
    await journal.append({
      kind: 'answered',
      callId: historyCall.id,
      tool: historyCall.tool,
      answer: answer.ok ? { ok: true, output } : answer,
      durationMs: performance.now() - started,
    })
    if (!told?.success) {
      const message = 'the run begins without what was said before in its conversation: there was no answer'
      await journal.append({ kind: 'noted', code: 'history_unavailable', message })
    }
  }
  return known
}

/** The answer that an earlier bridge may have been sent. */
function inboxAnswer({ inbox }: Journal): Answer | undefined {
  const message = inbox.find((sent) => sent.type === 'answer' && sent.callId === historyCall.id)
  return message?.type === 'answer' ? message.answer : undefined
}

async function awaitAnswer({ bus, address, signal }: AskOptions) {
  const enough = new AbortController()
  const until = AbortSignal.any([signal, enough.signal, AbortSignal.timeout(patienceMs)])
  for await (const { message, ack } of receiveIn(bus, address, until)) {
    // Everything else is left for later: it comes again.
    if (message.type !== 'answer' || message.callId !== historyCall.id) continue
    ack()
    enough.abort()
    return message.answer
  }
  signal.throwIfAborted()
  return undefined
}
