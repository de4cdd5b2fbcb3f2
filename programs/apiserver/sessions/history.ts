import type { Bus } from '#core/bus'
import { historyCall, sendIn } from '#core/journal'
import { historyOf, type RecordEntry, type Store } from '#core/store'

/** Most bytes of what was said before that a run is given. */
const maxHistoryBytes = 64 * 1024
/** Whoever asked longer ago has begun without an answer. */
const freshMs = 30_000

/** Answers the runs that ask, by these entries, for what was said before in their conversation. */
export async function answerHistory(
  store: Store,
  bus: Bus,
  entries: readonly RecordEntry[],
  { signal, now = () => new Date() }: { signal: AbortSignal; now?: () => Date },
): Promise<void> {
  for (const { namespace, instance, run } of entries.filter((entry) => asksHistory(entry, now()))) {
    const output = await historyOf(store, { namespace, instance, run, maxBytes: maxHistoryBytes })
    const answer = { ok: true as const, output: { history: output.history, historyCut: output.cut } }
    await sendIn(bus, { namespace, instance, uid: run }, { type: 'answer', callId: historyCall.id, answer }, signal)
  }
}

function asksHistory({ kind, body, at }: RecordEntry, now: Date): boolean {
  if (kind !== 'journal' || now.getTime() - at.getTime() > freshMs) return false
  const { kind: entry, call } = body as { kind?: string; call?: { id?: string } }
  return entry === 'called' && call?.id === historyCall.id
}
