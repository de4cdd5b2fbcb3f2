import { type AgentRun, isTerminal, phases } from '#core/kinds'
import type { Informer } from '#core/kube'
import { counter, gauge, histogram } from '#core/telemetry'
import { endReasons } from './runs/reasons.ts'

/** To hours, since agents may take them; the times of a status are of whole seconds. */
const buckets = [1, 2, 5, 10, 30, 60, 300, 900, 3600, 14_400]

const leading = gauge('k8sclaw_controller_leading', 'Whether this replica reconciles: 1; the others have no value.')
const runsByPhase = gauge('k8sclaw_runs', 'AgentRuns that exist, by phase. Only the replica that reconciles has it.', [
  'phase',
])
const pendingSeconds = histogram(
  'k8sclaw_run_pending_seconds',
  'From the creation of an AgentRun until it was started, in whole seconds, as its status tells.',
  { buckets },
)
const runSeconds = histogram(
  'k8sclaw_run_seconds',
  'From the start of a run until its outcome, in whole seconds, as its status tells.',
  {
    labels: ['phase'],
    buckets,
  },
)
const runsEnded = counter(
  'k8sclaw_runs_ended_total',
  'Runs that ended, by phase and reason; other is why a run was refused.',
  ['phase', 'reason'],
)

/** Reasons that a bridge writes, beside those of the controller. Why a run was refused is admission's to count. */
const knownReasons = new Set<string>([...Object.values(endReasons), 'Completed', 'AgentError'])

/** Counts what runs come to as the cache sees it, for as long as this replica leads; returns what ends the counting. */
export function observeRuns(runs: Pick<Informer<AgentRun>, 'on' | 'list'>): () => void {
  runs.on({
    update: (run, before) => {
      if (phaseOf(run) !== phaseOf(before)) moved(run, before)
    },
  })
  const unwatch = [
    leading.watch({}, () => 1),
    ...phases.map((phase) =>
      runsByPhase.watch({ phase }, () => runs.list().filter((run) => phaseOf(run) === phase).length),
    ),
  ]
  return () => {
    for (const stop of unwatch) stop()
  }
}

function moved(run: AgentRun, before: AgentRun): void {
  const { startedAt, completedAt, reason = '' } = run.status ?? {}
  if (startedAt && !before.status?.startedAt) {
    pendingSeconds.observe({}, secondsBetween(run.metadata.creationTimestamp, startedAt))
  }
  const phase = phaseOf(run)
  if (!isTerminal(phase)) return
  if (startedAt) runSeconds.observe({ phase }, secondsBetween(startedAt, completedAt))
  runsEnded.add({ phase, reason: knownReasons.has(reason) ? reason : 'other' })
}

function phaseOf(run: AgentRun) {
  return run.status?.phase ?? 'Pending'
}

function secondsBetween(from: string | undefined, to: string | undefined): number {
  const ms = Date.parse(to ?? '') - Date.parse(from ?? '')
  return Number.isNaN(ms) ? 0 : Math.max(0, ms / 1000)
}
