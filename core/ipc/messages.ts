import * as z from 'zod'
import { limits } from './limits.ts'

/** What a call's id looks like: the same in the file's name and in its body, scoped to the attempt. */
export const callId = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 of A-Z a-z 0-9 _ -')

/** tools/ID.json: what the agent asks for. Unknown fields are ignored. */
export const toolRequest = z.object({
  id: callId,
  tool: z.string().min(1).max(128),
  input: z.unknown(),
})
export type ToolRequest = z.infer<typeof toolRequest>

/** Why a call was not `ok`. */
export const answerErrorCodes = [
  'denied',
  'invalid_input',
  'unknown_tool',
  'in_doubt',
  'run_ended',
  'failed',
  'timeout',
  'too_many',
] as const
export type AnswerErrorCode = (typeof answerErrorCodes)[number]

export const answerError = z.object({ code: z.enum(answerErrorCodes), message: z.string().max(16_384) })

/** What a performer gives back for one call. */
export const performed = z.discriminatedUnion('ok', [
  z.object({ ok: z.literal(true), output: z.unknown(), truncated: z.boolean().optional() }),
  z.object({ ok: z.literal(false), error: answerError }),
])
export type Performed = z.infer<typeof performed>

/** input/results/ID.json: the answer to tools/ID.json. */
export const answerFile = z.discriminatedUnion('ok', [
  z.object({ id: callId, ok: z.literal(true), output: z.unknown(), truncated: z.boolean().optional() }),
  z.object({ id: callId, ok: z.literal(false), error: answerError }),
])
export type AnswerFile = z.infer<typeof answerFile>

/** input/cancel.json: stop, and write a result within `graceSeconds` if there is one to write. */
export const cancelFile = z.object({ reason: z.string(), graceSeconds: z.int().min(0) })
export type CancelFile = z.infer<typeof cancelFile>

/**
 * input/followup-N.json, N from 1: what is said to the run while it goes on. It is the run's only once it has been taken
 * by a call of `takeFollowup`, one after the other; what is not taken by the end is for somebody else.
 */
export const followupFile = z.object({
  type: z.literal('message'),
  text: z.string(),
  /** Who says it: the channel and, behind a slash, the id of the sender there. */
  from: z.string().max(256),
})
export type FollowupFile = z.infer<typeof followupFile>

/** The tool that takes one. It is in no task's list, because it is for the agent and not for its model. */
export const takeFollowup = 'take_followup'
export const takeFollowupInput = z.object({ number: z.int().min(1) })

/** One line of output/events.jsonl: what the agent says itself; the model's text streams without it. */
export const agentEvent = z.object({ type: z.enum(['status', 'text']), text: z.string() })
export type AgentEvent = z.infer<typeof agentEvent>

/** output/result.json: the end of the agent's work. */
export const resultFile = z.discriminatedUnion('status', [
  z.object({ status: z.literal('success'), response: z.string().max(limits.fileBytes) }),
  z.object({
    status: z.literal('error'),
    response: z.string().max(limits.fileBytes).optional(),
    error: z.object({ code: z.string().max(128), message: z.string().max(limits.fileBytes) }),
  }),
])
export type ResultFile = z.infer<typeof resultFile>

/** The first thing wrong with a value, as one sentence that names the field. */
export function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0]
  if (!issue) return 'not of the expected shape'
  return issue.path.length > 0 ? `${issue.path.join('.')}: ${issue.message}` : issue.message
}
