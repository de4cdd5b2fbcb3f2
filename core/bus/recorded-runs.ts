import type { RunAddress } from '#core/identity'
import { jsRequest } from './api.ts'
import type { Bus } from './bus.ts'

interface StreamSubjects {
  state: { subjects?: Record<string, number> }
  total?: number
}

/** Every run of which the stream RUNS holds anything, for whoever tidies up after runs that are deleted. */
export async function recordedRuns(bus: Bus): Promise<RunAddress[]> {
  const runs = new Map<string, RunAddress>()
  let offset = 0
  for (;;) {
    const { state, total = 0 } = await jsRequest<StreamSubjects>(bus, 'STREAM.INFO.RUNS', {
      subjects_filter: 'k8sclaw.*.*.run.*.*',
      offset,
    })
    const subjects = Object.keys(state.subjects ?? {})
    for (const subject of subjects) {
      const [, namespace, instance, , uid] = subject.split('.')
      if (namespace && instance && uid) runs.set(uid, { namespace, instance, uid })
    }
    offset += subjects.length
    if (subjects.length === 0 || offset >= total) return [...runs.values()]
  }
}
