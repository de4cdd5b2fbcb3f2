import * as z from 'zod'

/** A conversation: the runs of one instance with the same key. */
export const session = z
  .object({
    id: z.string(),
    namespace: z.string(),
    instance: z.string(),
    key: z.string().describe('`spec.sessionKey` of its runs.'),
    runs: z.int(),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Session' })

export const transcript = session
  .extend({
    messages: z.array(
      z.object({
        run: z.string().describe('uid of the AgentRun.'),
        role: z.enum(['user', 'assistant']),
        content: z.string(),
        at: z.iso.datetime(),
      }),
    ),
    continue: z.string().optional().describe('Where the next page of `messages` begins; the last page has none.'),
    summary: z
      .object({
        run: z.string().describe('uid of the AgentRun whose model made it.'),
        model: z.string(),
        through: z.string().describe('uid of the run of the last turn that is in it.'),
        messages: z.int().describe('How many messages it was made of, besides the summary before.'),
        partial: z.boolean().describe('Whether something older was too much even for that.'),
        content: z.string(),
        at: z.iso.datetime(),
      })
      .optional()
      .describe('What the next run is told instead of the beginning, where that is too long.'),
  })
  .meta({ id: 'Transcript' })

/** What is kept of a run, also when its AgentRun is gone. */
export const runRecord = z
  .object({
    uid: z.string(),
    namespace: z.string(),
    instance: z.string(),
    name: z.string(),
    agent: z.string(),
    policy: z.string(),
    provider: z.string(),
    model: z.string(),
    task: z.string(),
    startedAt: z.iso.datetime(),
    phase: z.string(),
    reason: z.string().nullable(),
    result: z.string().nullable(),
    error: z.string().nullable(),
    endedAt: z.iso.datetime().nullable(),
    modelCalls: z.int(),
    toolCalls: z.int(),
  })
  .meta({ id: 'RunRecord' })

/** What one agent of one instance used of one model on one day (UTC). */
export const usageRow = z
  .object({
    day: z.iso.date(),
    instance: z.string(),
    agent: z.string().nullable(),
    policy: z.string().nullable(),
    provider: z.string(),
    model: z.string(),
    calls: z.int(),
    inputTokens: z.int(),
    outputTokens: z.int(),
    failed: z.int().describe('Calls that were refused or failed, and so used nothing.'),
    unmetered: z.int().describe('Other calls of which the provider did not say what they used.'),
    costMicroUSD: z
      .int()
      .nullable()
      .describe('Millionths of a dollar that the metered calls cost at list price; null where that is not known.'),
  })
  .meta({ id: 'UsageRow' })

/** An entry that the replica which carries the record over could not read, or the database would not take. */
export const asideRow = z
  .object({
    stream: z.string(),
    sequence: z.int().describe('Of the stream on the bus, which has the entry for as long as it keeps it.'),
    subject: z.string().describe('`k8sclaw.<namespace>.<instance>.run.<uid of the run>.<kind>`, as it was published.'),
    reason: z.string(),
    bytes: z.int().describe('How long the entry is; it is kept, and not shown.'),
    at: z.iso.datetime(),
  })
  .meta({ id: 'AsideRow' })

/** A page of rows. */
export function pageSchema<S extends z.ZodType>(row: S) {
  return z.object({
    items: z.array(row),
    continue: z.string().optional().describe('Where the next page begins; the last page has none.'),
  })
}
