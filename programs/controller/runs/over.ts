import type { AgentRun } from '#core/kinds'
import type { Job, Pod } from '#core/kube'
import { isAlive, jobIsOver } from './ending.ts'

export interface OverFacts {
  run: AgentRun
  now: Date
  job: Job | undefined
  pod: Pod | undefined
}

export interface OverStep {
  /** The run has nothing left that runs: its consumers can go. */
  quiet: boolean
  deleteJob: boolean
  deleteRun: boolean
  /** When to look again. */
  forMs: number | undefined
}

/** How long an agent may linger after the outcome. */
const lingerMs = 10_000

/** What is left to do after the outcome. A Job that ended by itself keeps its pod, for the logs, until its own TTL. */
export function decideOver({ run, now, job, pod }: OverFacts): OverStep {
  const since = now.getTime() - Date.parse(run.status?.completedAt ?? now.toISOString())
  const alive = (pod !== undefined && isAlive(pod)) || (job !== undefined && !jobIsOver(job))
  const lingers = alive && !job?.metadata.deletionTimestamp
  const ttl = run.spec.ttlSecondsAfterFinished
  const untilDelete = ttl === undefined ? undefined : ttl * 1000 - since
  const waits = [lingers && since < lingerMs ? lingerMs - since : undefined, untilDelete].filter(
    (ms) => ms !== undefined,
  )
  return {
    quiet: !alive,
    deleteJob: job !== undefined && lingers && since >= lingerMs,
    deleteRun: untilDelete !== undefined && untilDelete <= 0,
    forMs: waits.length > 0 ? Math.max(0, Math.min(...waits)) : undefined,
  }
}
