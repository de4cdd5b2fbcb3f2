import { isDeepStrictEqual } from 'node:util'
import type { Outcome } from '#core/journal'
import {
  type AgentRun,
  type Condition,
  type Effective,
  maxStatusResultBytes,
  rfc3339,
  storable,
  withCondition,
} from '#core/kinds'
import type { Stuck } from './ending.ts'
import type { PendingStep } from './pending.ts'

/** A merge patch of `status`; null removes. */
export type StatusPatch = { [field: string]: unknown; conditions: Condition[] }

/** A run that waits: phase Pending with the reason, and the condition that says for what. */
export function waitingStatus(run: AgentRun, step: Extract<PendingStep, { do: 'wait' }>, now: Date): StatusPatch {
  const { condition, reason, message, effective } = step
  const resolved = effective
    ? conditioned(run, run.status?.conditions, 'Resolved', true, 'Resolved', '', now)
    : run.status?.conditions
  return {
    phase: 'Pending',
    reason,
    ...(effective && !run.status?.effective ? { effective } : {}),
    conditions: conditioned(run, resolved, condition, false, reason, message, now),
    observedGeneration: run.metadata.generation,
  }
}

/** A run that takes its place: Running, and its time begins. */
export function startingStatus(run: AgentRun, effective: Effective, jobName: string, now: Date): StatusPatch {
  const resolved = conditioned(run, run.status?.conditions, 'Resolved', true, 'Resolved', '', now)
  return {
    phase: 'Running',
    reason: null,
    effective,
    attempt: 1,
    jobName,
    startedAt: rfc3339(now),
    conditions: conditioned(run, resolved, 'Started', false, 'Starting', '', now),
    observedGeneration: run.metadata.generation,
  }
}

/** What keeps the agent from starting. */
export function stuckStatus(run: AgentRun, { reason, message }: Stuck, now: Date): StatusPatch {
  return {
    reason,
    conditions: conditioned(run, run.status?.conditions, 'Started', false, reason, message, now),
    observedGeneration: run.metadata.generation,
  }
}

/** The agent runs. */
export function startedStatus(run: AgentRun, podName: string, now: Date): StatusPatch {
  return {
    podName,
    reason: null,
    conditions: conditioned(run, run.status?.conditions, 'Started', true, 'Started', '', now),
    observedGeneration: run.metadata.generation,
  }
}

/** The end, as the outcome tells it. */
export function finishedStatus(run: AgentRun, outcome: Outcome, now: Date): StatusPatch {
  const succeeded = outcome.phase === 'Succeeded'
  // With what an API server refuses the run would never be seen to end. The record has it as it was.
  const [result, error] = [outcome.result, outcome.error].map((text) => text && storable(text))
  const message = succeeded ? '' : (error ?? '')
  return {
    phase: outcome.phase,
    reason: outcome.reason,
    ...(result === undefined ? {} : { result: cutUtf8(result, maxStatusResultBytes) }),
    ...(error === undefined ? {} : { error: cutUtf8(error, maxStatusResultBytes) }),
    ...(outcome.exitCode === undefined ? {} : { exitCode: outcome.exitCode }),
    usage: outcome.usage,
    completedAt: rfc3339(now),
    conditions: conditioned(run, run.status?.conditions, 'Completed', true, outcome.reason, message, now),
    observedGeneration: run.metadata.generation,
  }
}

/** Whether a patch would change anything that a reader sees; what is as wanted is not written again. */
export function changes(run: AgentRun, patch: StatusPatch): boolean {
  const status = { ...run.status } as Record<string, unknown>
  // An API server gives the fields of an object back in an order of its own.
  return Object.entries(patch).some(([field, value]) => !isDeepStrictEqual(status[field] ?? null, value ?? null))
}

const mark = '\n[cut; the whole of it is in the record of the run]'

/** The longest beginning of `text` that, with a mark where something is missing, has at most `max` bytes of UTF-8. */
export function cutUtf8(text: string, max: number): string {
  const bytes = Buffer.from(text)
  if (bytes.length <= max) return text
  let end = max - Buffer.byteLength(mark)
  // A byte 10xxxxxx continues a character that began before it.
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end) + mark
}

function conditioned(
  run: AgentRun,
  list: readonly Condition[] | undefined,
  type: string,
  status: boolean,
  reason: string,
  message: string,
  now: Date,
): Condition[] {
  const { generation } = run.metadata
  const observed = generation === undefined ? {} : { observedGeneration: generation }
  return withCondition(list, { type, status: status ? 'True' : 'False', reason, message, ...observed }, now)
}
