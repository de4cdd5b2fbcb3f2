import { takeFollowup, toolNames } from '#core/ipc'
import { counter, gauge, histogram } from '#core/telemetry'

export const httpRequests = counter(
  'k8sclaw_http_requests_total',
  'Requests to the API by the pattern of their path, never the path itself; a stream counts when it begins.',
  ['method', 'route', 'status'],
)
export const httpSeconds = histogram(
  'k8sclaw_http_request_seconds',
  'How long a request took until its answer began.',
  {
    labels: ['method', 'route'],
  },
)

export const streamsOpen = gauge('k8sclaw_streams_open', 'Streams of events that clients of this replica follow.')
export const streamsEnded = counter(
  'k8sclaw_streams_ended_total',
  'Streams by why they ended: outcome, left, slow (the client was cut), stopping, or the code of an error.',
  ['end'],
)
export const streamEvents = counter('k8sclaw_stream_events_total', 'Events that clients have taken.', ['type'])

export const projecting = gauge(
  'k8sclaw_projection_leading',
  'Whether this replica carries the record into the database: 1; the others have no value.',
)
export const projectionLag = gauge(
  'k8sclaw_projection_lag_entries',
  'Entries of a stream that are not in the database yet, as of the last one that was read.',
  ['stream'],
)
export const projectionLagSeconds = gauge(
  'k8sclaw_projection_lag_seconds',
  'Age of the oldest entry of a stream that was read and is not in the database yet; 0 where there is none.',
  ['stream'],
)
export const projectedEntries = counter('k8sclaw_projection_entries_total', 'Entries that were carried over.', [
  'stream',
])
export const setAsideEntries = counter(
  'k8sclaw_projection_set_aside_total',
  'Entries that could not be read or stored, and were set aside with the reason.',
  ['stream'],
)
export const projectionSeconds = histogram(
  'k8sclaw_projection_seconds',
  'How long the database took for one batch of entries.',
  { labels: ['stream'] },
)

export const projectionUntold = gauge(
  'k8sclaw_projection_untold_entries',
  'Entries of RUNS that are in the database without the bus having been told, which keeps their runs until it is.',
)
export const memoryCallsWaiting = gauge(
  'k8sclaw_memory_calls_waiting',
  'Memory calls of all runs that wait for their turn at this replica.',
)
export const memoryCallsUnderWay = gauge(
  'k8sclaw_memory_calls_under_way',
  'Memory calls of all runs that this replica performs at this moment.',
)

export const recordedCalls = counter(
  'k8sclaw_calls_total',
  'Calls of agents by tool and verdict, counted from the record as it is carried over; tools that are not ours are other.',
  ['tool', 'action'],
)
export const recordedCallSeconds = histogram(
  'k8sclaw_call_seconds',
  'How long calls took, by tool and how they were answered: ok, or the code of the failure.',
  { labels: ['tool', 'result'] },
)
export const firstModelCallSeconds = histogram(
  'k8sclaw_run_first_model_call_seconds',
  'From the task in the inbox of a run until its first model call was recorded.',
)

const ours = new Set<string>([...toolNames, takeFollowup, 'model', 'history', 'summary'])

/** The tool of a call, if it is one of ours: what an agent may make up is told apart from nothing. */
export function toolLabel(tool: string): string {
  return ours.has(tool) ? tool : 'other'
}
