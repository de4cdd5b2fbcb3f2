import { jsRequest } from './api.ts'
import type { Bus } from './bus.ts'

interface StreamSubjects {
  state: { subjects?: Record<string, number> }
  total?: number
}

/** The subjects of a stream that match, each with how many messages it holds, in pages as the server gives them. */
export async function subjectCounts(bus: Bus, stream: string, filter: string): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (let offset = 0; ; ) {
    const { state, total = 0 } = await jsRequest<StreamSubjects>(bus, `STREAM.INFO.${stream}`, {
      subjects_filter: filter,
      offset,
    })
    const page = Object.entries(state.subjects ?? {})
    for (const [subject, count] of page) counts.set(subject, count)
    offset += page.length
    if (page.length === 0 || offset >= total) return counts
  }
}
