import { createHash } from 'node:crypto'
import type { Bus } from '#core/bus'
import { beganAnew, beginAnew } from '#core/channels'
import { ClawError, errorMessage, isClawError } from '#core/errors'
import { type AgentRun, agentRuns, isTerminal, type Unborn } from '#core/kinds'
import type { Informer, Kube, ReconcileResult, WorkQueue } from '#core/kube'
import type { Logger } from '#core/telemetry'
import type { Taken } from './inbox.ts'
import type { Outbox } from './outbox.ts'
import { sentences, statusSentence, stopSentence } from './sentences.ts'
import { type Steerable, Steering } from './steering.ts'
import { channelKey } from './strangers.ts'
import type { Command } from './take-turn.ts'
import { fitting, type Place, placeKey, placeOfKey, turnOf, turnRun } from './turn.ts'

export interface ConversationsOptions {
  kube: Kube
  bus: Bus
  outbox: Outbox
  /** With the index `place`: runs under way by where they were asked for. */
  runs: Informer<AgentRun>
  /** Of keys of places; whoever takes one calls `reconcile`. */
  queue: WorkQueue
  log: Logger
  /** How long a person must have been silent, and how long the first message waits at most, milliseconds. */
  quietMs?: number | undefined
  longestMs?: number | undefined
  now?: () => number
}

/** A message that waits for its turn. */
interface Waiting extends Taken, Steerable {
  /** When it came, by the clock of this process. */
  since: number
}

/** Something that is answered at once, in the order in which it was asked. */
interface Question {
  perform: () => Promise<void>
  settle: () => void
}

interface Conversation {
  questions: Question[]
  waiting: Waiting[]
  /** The run that was made last, which the cache may not know yet. */
  latest?: AgentRun
}

/** How much may wait in one conversation, and in all of one channel. */
const maxWaiting = { conversation: 50, channel: 1_000 }
const lookAgainMs = 1_000
/** What no later try makes good. */
const refusals = ['invalid', 'malformed', 'forbidden', 'too_large', 'not_ours', 'already_exists'] as const

/**
 * The conversations in which something is to be done. Each is one key of a queue, so that what is said in one is taken
 * in order and by one worker, while others go on. Nothing is decided from what is remembered here alone: a message is
 * settled once the run that holds it exists, and that run says which messages it holds.
 */
export class Conversations {
  readonly #options: ConversationsOptions
  readonly #steering: Steering
  readonly #open = new Map<string, Conversation>()
  readonly #waitingIn = new Map<string, number>()
  readonly #now: () => number

  constructor(options: ConversationsOptions) {
    this.#options = options
    this.#steering = new Steering(options)
    this.#now = options.now ?? (() => performance.now())
  }

  /** Whether one more message may wait there. */
  hasRoom(place: Place): boolean {
    const here = this.#open.get(placeKey(place))?.waiting.length ?? 0
    const inChannel = this.#waitingIn.get(channelKey(place)) ?? 0
    return here < maxWaiting.conversation && inChannel < maxWaiting.channel
  }

  /** Has a message become part of the next run there. */
  wait(place: Place, taken: Taken, { text, anew }: { text: string; anew: boolean }): void {
    const { outbox, queue } = this.#options
    const here = this.#conversation(place)
    here.waiting.push({ ...taken, text, anew, since: this.#now() })
    this.#count(place, 1)
    if (anew && text === '') {
      // Said at once, and done when it is its turn; until then the message is not settled.
      const perform = () => outbox.answer(place, taken.message, sentences.begunAnew)
      here.questions.push({ perform, settle: () => {} })
    }
    queue.add(placeKey(place))
  }

  /** Has something done there at once, whatever waits. */
  do(place: Place, { settle }: Taken, perform: () => Promise<void>): void {
    this.#conversation(place).questions.push({ perform, settle })
    this.#options.queue.add(placeKey(place))
  }

  /** Does a command, and gives the sentence that says so. */
  async command(place: Place, command: Command, { sequence }: Taken): Promise<string> {
    const here = this.#conversation(place)
    switch (command) {
      case 'help':
        return sentences.help
      case 'status':
        return statusSentence(this.#underWay(place, here), here.waiting)
      case 'stop': {
        // The same command may come again after a crash: it is not for what was said since.
        const before = this.#underWay(place, here).filter((run) => (turnOf(run)?.upTo ?? 0) < sequence)
        const stopped: string[] = []
        for (const run of before) if (await this.#cancel(run)) stopped.push(run.metadata.name)
        const dropped = here.waiting.filter((one) => one.sequence < sequence)
        this.#settle(place, here, dropped)
        return stopSentence(stopped, dropped.filter(({ sentTo }) => sentTo === undefined).length)
      }
    }
  }

  /** Brings one conversation forward: questions first, then what waits, once nothing is under way and it is quiet. */
  async reconcile(key: string): Promise<ReconcileResult> {
    const place = placeOfKey(key)
    const here = this.#open.get(key)
    if (!here) return
    for (let question = here.questions[0]; question; question = here.questions[0]) {
      await this.#answer(question, place)
      question.settle()
      here.questions.shift()
    }
    // A channel that is no more has nobody to answer.
    if (!this.#options.outbox.channel(place)) this.#settle(place, here, here.waiting)
    while (here.waiting.length > 0) {
      const busy = await this.#busy(place, here)
      if (busy) {
        const { run, ...again } = busy
        if (run && this.#options.outbox.channel(place)?.whileRunning === 'steer') {
          await this.#steering.hand(run, here.waiting)
        }
        return again
      }
      this.#settle(place, here, await this.#steering.taken(place, here.waiting))
      if (here.waiting.length === 0) break
      if (await this.#beginsAnew(place, here)) continue
      const quietIn = this.#quietIn(here.waiting)
      if (quietIn > 0) return { requeueAfterMs: quietIn }
      await this.#begin(place, here)
    }
    if (here.questions.length === 0) this.#open.delete(key)
  }

  async #cancel({ metadata }: AgentRun): Promise<boolean> {
    try {
      await this.#options.kube.patch(agentRuns, metadata, { spec: { cancel: true } })
      return true
    } catch (error) {
      if (isClawError(error, 'not_found')) return false
      throw error
    }
  }

  /** Runs of this place that are not over, the one that was made a moment ago among them. */
  #underWay(place: Place, { latest }: Conversation): AgentRun[] {
    const known = this.#options.runs.byIndex('place', placeKey(place))
    const isNew = latest && !isTerminal(latest.status?.phase) && !known.some((run) => isSame(run, latest))
    return isNew ? [...known, latest] : known
  }

  /** What fails for good must not hold up what comes behind it. */
  async #answer({ perform }: Question, { namespace, instance, channel }: Place): Promise<void> {
    try {
      await perform()
    } catch (error) {
      if (!isClawError(error) || error.retryable) throw error
      this.#options.log.error({ namespace, instance, channel, err: error }, 'a message could not be answered')
    }
  }

  /** Undefined where nothing is under way; the run where the cache knows it. */
  async #busy(place: Place, here: Conversation): Promise<{ run?: AgentRun; requeueAfterMs?: number } | undefined> {
    const { kube, runs } = this.#options
    const [run] = runs.byIndex('place', placeKey(place))
    // Its end is an event.
    if (run) return { run }
    if (!here.latest) return undefined
    // Over, deleted, or not in the cache yet: only the API server knows which.
    const found = await kube.find<AgentRun>(agentRuns, here.latest.metadata)
    if (found && isSame(found, here.latest) && !isTerminal(found.status?.phase)) return { requeueAfterMs: lookAgainMs }
    delete here.latest
    return undefined
  }

  #quietIn(waiting: readonly Waiting[]): number {
    const { quietMs = 1_500, longestMs = 10_000 } = this.#options
    const now = this.#now()
    const [first] = waiting
    const last = waiting.at(-1)
    if (!first || !last) return 0
    return Math.min(last.since + quietMs - now, first.since + longestMs - now)
  }

  /** Whether the first of what waits was nothing but the wish to begin anew, which is now done. */
  async #beginsAnew(place: Place, here: Conversation): Promise<boolean> {
    const [first] = here.waiting
    if (!first?.anew) return false
    await beginAnew(this.#options.bus, place, sinceOf(first))
    first.anew = false
    if (first.text !== '' || first.message.attachments.length > 0) return false
    this.#settle(place, here, [first])
    return true
  }

  async #begin(place: Place, here: Conversation): Promise<void> {
    const { bus, outbox, log } = this.#options
    const untilNext = here.waiting.findIndex(({ anew }) => anew)
    const next = here.waiting.slice(0, untilNext < 0 ? undefined : untilNext)
    const said = next.slice(0, fitting(next))
    const wanted = turnRun(place, said, { since: await beganAnew(bus, place) })
    const { namespace, instance, channel } = place
    const fields = { namespace, instance, channel, run: wanted.metadata.name }
    let run: AgentRun
    try {
      run = await this.#create(wanted)
    } catch (error) {
      if (!isClawError(error, ...refusals) || error.retryable) throw error
      log.warn({ ...fields, error: errorMessage(error) }, 'run of a channel refused')
      const last = said.at(-1)
      if (last) await outbox.answer(place, last.message, sentences.refused(wanted.metadata.name))
      this.#settle(place, here, said)
      return
    }
    here.latest = run
    const held = new Set(turnOf(run)?.messages)
    await outbox.announce(run)
    log.info({ ...fields, messages: held.size }, 'run of a channel')
    this.#settle(
      place,
      here,
      here.waiting.filter(({ message }) => held.has(message.id)),
    )
  }

  /** The run, also where an earlier try made it and was not told so. */
  async #create(wanted: Unborn<AgentRun> & { metadata: { name: string } }): Promise<AgentRun> {
    const { kube } = this.#options
    try {
      return await kube.create<AgentRun>(agentRuns, wanted)
    } catch (error) {
      if (!isClawError(error, 'already_exists')) throw error
      const present = await kube.get<AgentRun>(agentRuns, wanted.metadata)
      const first = turnOf(wanted)?.messages[0]
      if (first !== undefined && turnOf(present)?.messages[0] === first) return present
      throw new ClawError('not_ours', `AgentRun ${wanted.metadata.name} is not a run of this conversation`, {
        cause: error,
      })
    }
  }

  #settle(place: Place, here: Conversation, done: readonly Waiting[]): void {
    for (const { settle } of done) settle()
    here.waiting = here.waiting.filter((one) => !done.includes(one))
    this.#count(place, -done.length)
  }

  #conversation(place: Place): Conversation {
    const key = placeKey(place)
    const here = this.#open.get(key) ?? { questions: [], waiting: [] }
    this.#open.set(key, here)
    return here
  }

  #count(place: Place, more: number): void {
    const key = channelKey(place)
    const count = (this.#waitingIn.get(key) ?? 0) + more
    if (count > 0) this.#waitingIn.set(key, count)
    else this.#waitingIn.delete(key)
  }
}

/** By uid: a run that was deleted and made again is another. */
function isSame(a: AgentRun, b: AgentRun): boolean {
  return a.metadata.uid === b.metadata.uid
}

/** Follows from the message, so that beginning anew twice with it is beginning anew once. */
function sinceOf({ message }: Taken): string {
  return createHash('sha256').update(message.id).digest('hex').slice(0, 12)
}
