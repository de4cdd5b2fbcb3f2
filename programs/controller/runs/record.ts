import { type Bus, deleteRunConsumers, ensureRunConsumers, isKept, purgeFiles, purgeRun } from '#core/bus'
import { isClawError } from '#core/errors'
import { fileSubjects, type RunAddress } from '#core/identity'
import {
  followupsTaken,
  isToolOfAgent,
  type Outcome,
  readRun,
  sendIn,
  type TaskMessage,
  writeOutcome,
} from '#core/journal'
import type { Usage } from '#core/kinds'
import type { ReconcileResult } from '#core/kube'
import type { Ending } from './ending.ts'
import { cancelGraceSeconds } from './running.ts'

/** How soon to ask again whether a record is kept; thousands may wait at once. */
const keptAgainMs = 15_000

/** What the controller does with the records of runs. Everything here may be repeated. */
export class RunRecords {
  readonly #bus: Bus
  readonly #signal: AbortSignal

  constructor(bus: Bus, signal: AbortSignal) {
    this.#bus = bus
    this.#signal = signal
  }

  /** The consumers that the bridge may use, and the task as the first message. */
  async open(run: RunAddress, task: TaskMessage): Promise<void> {
    const first = await sendIn(this.#bus, run, task, this.#signal)
    await ensureRunConsumers(this.#bus, run, first)
  }

  async cancel(run: RunAddress): Promise<void> {
    const message = { type: 'cancel', reason: 'the run was cancelled', graceSeconds: cancelGraceSeconds } as const
    await sendIn(this.#bus, run, message, this.#signal)
  }

  /** Whether the run did anything, and its outcome if it has one. */
  async look(run: RunAddress): Promise<{ outcome: Outcome | undefined; called: boolean }> {
    const { outcome, entries } = await readRun(this.#bus, run, this.#signal, { contents: false })
    return { outcome, called: entries.length > 0 }
  }

  /** Writes this ending as the outcome, and returns the one that counts: whoever was first wrote it. */
  async conclude(run: RunAddress, ending: Ending, now: Date): Promise<Outcome> {
    const record = await readRun(this.#bus, run, this.#signal, { contents: false })
    if (record.outcome) return record.outcome
    const followups = followupsTaken(record.entries)
    const outcome: Outcome = {
      run: run.uid,
      attempt: 1,
      at: now.toISOString(),
      writer: 'controller',
      usage: usageOf(record.entries),
      ...(followups > 0 && { followups }),
      ...ending,
    }
    try {
      await writeOutcome(this.#bus, run, outcome, this.#signal)
      return outcome
    } catch (error) {
      if (!isClawError(error, 'fenced')) throw error
      const other = (await readRun(this.#bus, run, this.#signal, { contents: false })).outcome
      if (!other) throw error
      return other
    }
  }

  /** Nothing of the run will read any more, and what this channel brought it least of all. */
  async release(run: RunAddress, channel?: string): Promise<void> {
    await deleteRunConsumers(this.#bus, run)
    if (channel !== undefined) await purgeFiles(this.#bus, fileSubjects(run, { channel }).all)
  }

  /** Forgets a run, later if its record is still to be kept elsewhere: the database may be away. */
  async forget(run: RunAddress): Promise<ReconcileResult> {
    if (!(await isKept(this.#bus, run))) return { requeueAfterMs: keptAgainMs }
    await purgeRun(this.#bus, run)
  }
}

/** What a run used by its own record, which the boundary wrote and not the agent. */
export function usageOf(entries: Awaited<ReturnType<typeof readRun>>['entries']): Usage {
  const usage: Usage = { inputTokens: 0, outputTokens: 0, modelCalls: 0, toolCalls: 0 }
  for (const entry of entries) {
    if (entry.kind === 'called' && entry.verdict.action === 'allow') {
      if (entry.call.tool === 'model') usage.modelCalls++
      else if (isToolOfAgent(entry.call.tool)) usage.toolCalls++
    } else if (entry.kind === 'answered') {
      usage.inputTokens += entry.tokens?.input ?? 0
      usage.outputTokens += entry.tokens?.output ?? 0
    }
  }
  return usage
}
