import { type Bus, lastMessage } from '#core/bus'
import { type RunAddress, runSubjects } from '#core/identity'
import { historyCall, sendIn, type ToldConversation } from '#core/journal'
import { historyOf, type RecordEntry, type Store } from '#core/store'

/** Most bytes of what was said before that a run is given word for word. */
const maxHistoryBytes = 64 * 1024

/** Answers the runs that ask, by these entries, for what was said before in their conversation. */
export async function answerHistory(
  store: Store,
  bus: Bus,
  entries: readonly RecordEntry[],
  { signal }: { signal: AbortSignal },
): Promise<void> {
  for (const { namespace, instance, run } of entries.filter(asksHistory)) {
    const address = { namespace, instance, uid: run }
    if (!(await isUnderWay(bus, address))) continue
    const { cut, ...told } = await historyOf(store, { namespace, instance, run, maxBytes: maxHistoryBytes })
    const output: ToldConversation = { ...told, historyCut: cut }
    const answer = { ok: true as const, output }
    await sendIn(bus, address, { type: 'answer', callId: historyCall.id, answer }, signal)
  }
}

function asksHistory({ kind, body }: RecordEntry): boolean {
  if (kind !== 'journal') return false
  const { kind: entry, call } = body as { kind?: string; call?: { id?: string } }
  return entry === 'called' && call?.id === historyCall.id
}

/** After a long absence many ask whose runs are over, or are forgotten by the bus, and must leave nothing there again. */
async function isUnderWay(bus: Bus, run: RunAddress): Promise<boolean> {
  const subjects = runSubjects(run)
  if (await lastMessage(bus, 'RUNS', subjects.outcome)) return false
  return (await lastMessage(bus, 'RUNS', subjects.in)) !== undefined
}
