import type { Bus } from '#core/bus'
import type { RunAddress } from '#core/identity'
import { type Outcome, readOutcome, sendIn } from '#core/journal'
import { type AgentRun, agentRuns, isTerminal } from '#core/kinds'
import type { Informer, Kube } from '#core/kube'
import { maxMessages, messageKey, type Place, type Said, steeredPatch, textOf, turnOf } from './turn.ts'

export interface SteeringOptions {
  kube: Kube
  bus: Bus
  /** With the index `message`: runs by the messages that they hold or were handed. */
  runs: Informer<AgentRun>
}

/** A message that waits in a conversation. */
export interface Steerable extends Said {
  /** Whether the conversation is to begin anew with it. */
  anew: boolean
  /** uid of the run under way that it was sent into by this process. */
  sentTo?: string
}

/**
 * Messages that are handed to a run while it goes on. Which ones stands on the run before the first is sent, with a number
 * each; how many it took stands in its outcome. So after a crash at any line each is known to be the run's or nobody's.
 */
export class Steering {
  readonly #options: SteeringOptions

  constructor(options: SteeringOptions) {
    this.#options = options
  }

  /**
   * Hands on what waits, in its order, up to the first that has to wait for a turn of its own: the wish to begin anew,
   * and what comes with a file. Doing it again sends nothing twice. Throws `conflict` where the run changed meanwhile.
   */
  async hand(run: AgentRun, waiting: readonly Steerable[]): Promise<void> {
    const { kube, bus } = this.#options
    const turn = turnOf(run)
    // Before it is at work there is no task that these could follow, and what is being stopped takes nothing up.
    if (!turn || run.status?.phase !== 'Running' || run.spec.cancel) return
    const steered = turn.steered ?? []
    const fresh = handedNext(waiting, steered)
    const handed = [...steered, ...fresh.map(({ message }) => message.id)]
    if (fresh.length > 0) await kube.patch(agentRuns, run.metadata, steeredPatch(run, { ...turn, steered: handed }))
    const address = addressOf(run)
    for (const one of waiting) {
      const number = handed.indexOf(one.message.id) + 1
      if (number === 0 || one.sentTo === address.uid) continue
      const from = `${turn.channel}/${one.message.sender.id}`
      await sendIn(bus, address, { type: 'message', number, text: textOf(one), from })
      one.sentTo = address.uid
    }
  }

  /** Those of some messages that were taken up by runs that are over by now; the others may become a turn of their own. */
  async taken<T extends Steerable>(place: Place, waiting: readonly T[]): Promise<T[]> {
    const outcomes = new Map<string, Promise<Outcome | undefined>>()
    const outcomeOf = (run: AgentRun) => {
      const address = addressOf(run)
      const known = outcomes.get(address.uid) ?? readOutcome(this.#options.bus, address).then((read) => read?.outcome)
      outcomes.set(address.uid, known)
      return known
    }
    const taken: T[] = []
    for (const one of waiting) {
      delete one.sentTo
      for (const run of this.#options.runs.byIndex('message', messageKey(place, one.message.id))) {
        const number = (turnOf(run)?.steered ?? []).indexOf(one.message.id) + 1
        if (number === 0 || !isTerminal(run.status?.phase)) continue
        if (((await outcomeOf(run))?.followups ?? 0) < number) continue
        taken.push(one)
        break
      }
    }
    return taken
  }
}

/** What may be handed on next, behind what was. */
export function handedNext(waiting: readonly Steerable[], steered: readonly string[]): Steerable[] {
  const others = waiting.filter(({ message }) => !steered.includes(message.id))
  const end = others.findIndex(({ anew, message }) => anew || message.attachments.length > 0)
  return others.slice(0, Math.min(end < 0 ? others.length : end, maxMessages - steered.length))
}

function addressOf({ metadata, spec }: AgentRun): RunAddress {
  return { namespace: metadata.namespace ?? '', instance: spec.instanceRef.name, uid: metadata.uid ?? '' }
}
