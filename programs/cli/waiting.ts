import { setTimeout as delay } from 'node:timers/promises'
import { type AgentRun, agentRuns } from '#core/kinds'
import type { Kube } from '#core/kube'

/** A run that begins within it is not asked about at all. */
const quietMs = 1_000
const everyMs = 2_000

/**
 * Says why a run does not begin, and again when that changes, until it is at work or the signal aborts. A stream of its
 * events has nothing to say of that time: they come from the run itself.
 */
export async function sayWhyItWaits(
  kube: Kube,
  at: { namespace: string; name: string },
  say: (why: string) => void,
  signal: AbortSignal,
): Promise<void> {
  let said = ''
  for (let ms = quietMs; await passed(ms, signal); ms = everyMs) {
    // Whoever follows the run tells of a server that does not answer.
    const run = await kube.get<AgentRun>(agentRuns, at).catch(() => undefined)
    if (signal.aborted || (run?.status?.phase ?? 'Pending') !== 'Pending') return
    const why = whyItWaits(run)
    if (why && why !== said) say(why)
    said = why ?? said
  }
}

function whyItWaits(run: AgentRun | undefined): string | undefined {
  const unmet = run?.status?.conditions?.find(({ status, message }) => status === 'False' && message)
  return unmet && `waits: ${unmet.message} (${unmet.reason})`
}

async function passed(ms: number, signal: AbortSignal): Promise<boolean> {
  return await delay(ms, true, { signal }).catch(() => false)
}
