import * as z from 'zod'
import type { BusMessage } from '#core/bus'
import { ClawError, errorMessage } from '#core/errors'

/** One entry of the record as the bus held it. */
export interface RecordEntry {
  /** RUNS or USAGE. */
  stream: string
  /** Its sequence in that stream. */
  sequence: number
  namespace: string
  instance: string
  /** uid of the AgentRun. */
  run: string
  at: Date
  /** What its subject ends in: in, journal, outcome or usage; `summary` and `followup` for the entries of a journal that become rows. */
  kind: string
  body: unknown
}

/*
 * What is made into rows, by kind. Less than the schemas of the bus ask for, on purpose: a record of years ago must be
 * readable by a version whose entries say more.
 */
export const task = z.object({
  task: z.object({
    run: z.string(),
    agent: z.string(),
    sessionKey: z.string().optional(),
    task: z.string(),
    model: z.object({ provider: z.string(), name: z.string() }),
  }),
  effective: z.object({ policy: z.object({ name: z.string() }) }),
})
const count = z.int().min(0)
export const outcome = z.object({
  phase: z.string(),
  reason: z.string(),
  result: z.string().optional(),
  error: z.string().optional(),
  usage: z.object({ modelCalls: count, toolCalls: count }),
})
export const usage = z.object({
  at: z.iso.datetime(),
  provider: z.string(),
  model: z.string(),
  inputTokens: count.optional(),
  outputTokens: count.optional(),
  status: z.int().optional(),
})
/** The summary that a run had made of its conversation. */
export const summary = z.object({
  answer: z.object({
    output: z.object({ text: z.string(), through: z.string(), messages: count, partial: z.boolean() }),
  }),
})

/** What was said to a run while it went on, once the run has taken it. */
export const followup = z.object({ answer: z.object({ output: z.object({ text: z.string() }) }) })

/** What an entry says that becomes rows; nothing for those that are only kept. */
export type Said =
  | { kind: 'task'; value: z.infer<typeof task> }
  | { kind: 'outcome'; value: z.infer<typeof outcome> }
  | { kind: 'usage'; value: z.infer<typeof usage> }
  | { kind: 'summary'; value: z.infer<typeof summary> }
  | { kind: 'followup'; value: z.infer<typeof followup> }
  | { kind: 'other' }

/** Reads the body of an entry. Throws ClawError `malformed` for one that is not ours. */
export function saidIn({ kind, body }: Pick<RecordEntry, 'kind' | 'body'>): Said {
  try {
    if (kind === 'in') {
      const { type } = z.object({ type: z.string() }).parse(body)
      return type === 'task' ? { kind: 'task', value: task.parse(body) } : { kind: 'other' }
    }
    if (kind === 'journal') return { kind: 'other' }
    if (kind === 'outcome') return { kind, value: outcome.parse(body) }
    if (kind === 'usage') return { kind, value: usage.parse(body) }
    if (kind === 'summary') return { kind, value: summary.parse(body) }
    if (kind === 'followup') return { kind, value: followup.parse(body) }
  } catch (cause) {
    throw new ClawError('malformed', `this ${kind} entry cannot be read: ${errorMessage(cause)}`, { cause })
  }
  throw new ClawError('malformed', `nothing is recorded as ${kind}`)
}

/** Reads a message of RUNS or USAGE. Throws ClawError `malformed` for one that is not ours. */
export function recordEntry(stream: string, message: BusMessage): RecordEntry {
  const [, namespace, instance, , run, subject] = message.subject.split('.')
  if (!namespace || !instance || !run || !subject)
    throw new ClawError('malformed', `not a subject of a run: ${message.subject}`)
  const body = message.value()
  const kind = subject === 'journal' ? kindOfEntry(body) : subject
  saidIn({ kind, body })
  return { stream, sequence: message.sequence, namespace, instance, run, at: message.at, kind, body }
}

const answered = z.object({
  kind: z.literal('answered'),
  callId: z.string(),
  tool: z.string().optional(),
  answer: z.object({ ok: z.literal(true) }),
})

/** Some entries of a journal are kept as long as the conversation; the rest of it may go before. */
function kindOfEntry(body: unknown): 'summary' | 'followup' | 'journal' {
  const { data } = answered.safeParse(body)
  if (data?.callId === 'bridge:summary') return 'summary'
  return data?.tool === 'take_followup' ? 'followup' : 'journal'
}
