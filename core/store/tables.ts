import type { ColumnType, Generated } from 'kysely'

/** PostgreSQL's bigint: read as a number, since no stream comes near 2^53. */
type Count = ColumnType<number, number, number>
type Moment = ColumnType<Date, Date | string, Date | string>

export interface RecordTable {
  run: string
  stream: string
  /** Which life of the stream; the first is 1. */
  epoch: number
  sequence: Count
  namespace: string
  instance: string
  kind: string
  at: Moment
  /** JSON text in, parsed out. */
  body: ColumnType<unknown, string, string>
}

export interface Tables {
  record: RecordTable
  cursors: { stream: string; created: string; epoch: number; sequence: Count }
  set_aside: {
    stream: string
    created: string
    sequence: Count
    subject: string
    reason: string
    body: Buffer
    at: Moment
  }
  sessions: {
    id: string
    namespace: string
    instance: string
    key: string
    created_at: Moment
    updated_at: Moment
  }
  runs: {
    uid: string
    namespace: string
    instance: string
    name: string
    agent: string
    session_id: string | null
    policy: string
    provider: string
    model: string
    task: string
    started_at: Moment
    phase: string
    reason: string | null
    result: string | null
    error: string | null
    ended_at: Moment | null
    model_calls: Generated<number>
    tool_calls: Generated<number>
  }
  messages: {
    session_id: string
    epoch: number
    sequence: Count
    run: string
    namespace: string
    instance: string
    role: 'user' | 'assistant'
    content: string
    at: Moment
  }
  usage: {
    run: string
    epoch: number
    sequence: Count
    namespace: string
    instance: string
    agent: string | null
    session_id: string | null
    policy: string | null
    provider: string
    model: string
    at: Moment
    input_tokens: Count | null
    output_tokens: Count | null
    status: number | null
  }
  session_summaries: {
    session_id: string
    epoch: number
    sequence: Count
    namespace: string
    instance: string
    run: string
    through: string
    messages: number
    partial: boolean
    content: string
    at: Moment
  }
  session_marks: {
    namespace: string
    instance: string
    key: string
    reset_at: Moment | null
    deleted_at: Moment | null
  }
  forgotten: { run: string; at: Moment }
  forks: {
    session_id: string
    namespace: string
    instance: string
    key: string
    origin: string
    at: Moment
  }
  fork_messages: {
    session_id: string
    position: number
    run: string
    role: 'user' | 'assistant'
    content: string
    at: Moment
  }
  memories: {
    id: string
    namespace: string
    instance: string
    scope: 'session' | 'user' | 'instance'
    owner: string
    content: string
    run: string
    attempt: number
    call: string
    created_at: Moment
    expires_at: Moment | null
    embedding_model: string | null
    embedding_dimensions: number | null
  }
  memory_spaces: {
    namespace: string
    instance: string
    model: string | null
    dimensions: number | null
    since: Moment
  }
  forgotten_memories: { id: string; at: Moment }
  migrations: { name: string; applied_at: Generated<Date> }
}
