import type { RunAddress } from '#core/identity'
import type { Bus } from './bus.ts'
import { subjectCounts } from './subject-counts.ts'

/** Every run of which the stream RUNS holds anything, for whoever tidies up after runs that are deleted. */
export async function recordedRuns(bus: Bus): Promise<RunAddress[]> {
  const runs = new Map<string, RunAddress>()
  for (const subject of (await subjectCounts(bus, 'RUNS', 'k8sclaw.*.*.run.*.*')).keys()) {
    const [, namespace, instance, , uid] = subject.split('.')
    if (namespace && instance && uid) runs.set(uid, { namespace, instance, uid })
  }
  return [...runs.values()]
}
