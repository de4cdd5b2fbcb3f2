import * as z from 'zod'
import { fileLimits, fileRef, maxFiles } from '#core/files'
import { followupFile, type Performed, performed, taskFile } from '#core/ipc'
import { effective, phases, usage } from '#core/kinds'
import { meaning, unembedded } from './embedding.ts'

/** What an agent wants from the world: a tool with its input, or a model request (tool `model`, input left out). */
export const call = z.object({
  /** For a tool the agent's id, scoped to the attempt; for a model request `model-<step>`. */
  id: z.string().min(1).max(80),
  tool: z.string().min(1).max(128),
  input: z.unknown().optional(),
  /** SHA-256, hex, of the exact bytes that were judged. */
  inputHash: z.string().length(64),
  /** Ordinal of the model call in the run, from 1; model requests only. */
  step: z.int().min(1).optional(),
})
export type Call = z.infer<typeof call>

export const verdict = z.object({ action: z.enum(['allow', 'deny']), reason: z.string().max(1024) })
export type Verdict = z.infer<typeof verdict>

/** What a call was answered with, in the words of the /ipc contract. */
export type Answer = Performed

const stamp = {
  /** uid of the AgentRun: never its name, which a later run may bear. */
  run: z.string().min(1).max(64),
  attempt: z.int().min(1),
  /** Position in the run's journal, from 1, without gaps. */
  sequence: z.int().min(1),
  at: z.iso.datetime(),
}

export const calledEntry = z.object({
  kind: z.literal('called'),
  ...stamp,
  call,
  verdict,
  /** Of `memory_search` where a model of the instance made it: what the query means. */
  meaning: meaning.optional(),
})
export const answeredEntry = z.object({
  kind: z.literal('answered'),
  ...stamp,
  callId: z.string().min(1).max(80),
  tool: z.string().min(1).max(128),
  answer: performed,
  durationMs: z.number().min(0),
  /** Model requests only: what the gateway read off the wire; absent when the provider did not say. */
  tokens: z.object({ input: z.int().min(0), output: z.int().min(0) }).optional(),
})
/** A recorded warning: something refused or cut that no call answers for. */
export const notedEntry = z.object({
  kind: z.literal('noted'),
  ...stamp,
  code: z.string().max(64),
  message: z.string().max(4096),
})

export const entry = z.discriminatedUnion('kind', [calledEntry, answeredEntry, notedEntry])
export type Entry = z.infer<typeof entry>
export type CalledEntry = z.infer<typeof calledEntry>
export type AnsweredEntry = z.infer<typeof answeredEntry>
export type NotedEntry = z.infer<typeof notedEntry>

/** The one end of a run. Whoever writes it, everything after follows it. */
export const outcome = z.object({
  run: z.string().min(1).max(64),
  attempt: z.int().min(1),
  at: z.iso.datetime(),
  writer: z.enum(['bridge', 'controller']),
  phase: z.enum(phases).exclude(['Pending', 'Running']),
  /** One word: Completed, AgentError, Cancelled, DeadlineExceeded, NoResult, AgentDied, OOMKilled, Evicted, StartDeadline, ... */
  reason: z.string().max(128),
  result: z.string().optional(),
  error: z.string().optional(),
  /** What the agent handed over with its answer, as it lies on the bus. */
  files: z.array(fileRef).max(maxFiles).optional(),
  exitCode: z.int().optional(),
  /** How many of the messages that were sent into the run it took up; absent where none was. The others are nobody's yet. */
  followups: z.int().min(1).optional(),
  usage,
})
export type Outcome = z.infer<typeof outcome>

const chat = z.object({
  /** Name of the channel. */
  channel: z.string().min(1).max(63),
  /** What of files goes in and out there. */
  files: fileLimits,
  /** Names of the files that it brings, in their order. */
  brings: z.array(z.string().max(256)).max(maxFiles),
  /** Bytes that what the run hands over may take of the store together. Absent in what an older controller said. */
  room: z.int().min(0).optional(),
})

/** What stands in a run's `in`: the first is `task`. */
export const inMessage = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('task'),
    task: taskFile,
    effective,
    /** The chat that the run answers, where one does. */
    chat: chat.optional(),
  }),
  z.object({ type: z.literal('cancel'), reason: z.string().max(1024), graceSeconds: z.int().min(0) }),
  // Said to the run while it goes on; counted from 1, so that one that is sent again is the same one.
  followupFile.extend({ number: z.int().min(1) }),
  z.object({
    // Of a call that the bridge recorded and somebody else performed.
    type: z.literal('answer'),
    callId: z.string().min(1).max(80),
    // Ids of an agent's calls are scoped to the attempt; absent for what the bridge asks by itself.
    attempt: z.int().min(1).optional(),
    answer: performed,
    /** Of a memory call: memories of the run that its instance's model has made no vectors of. */
    unembedded: unembedded.optional(),
  }),
])
export type InMessage = z.infer<typeof inMessage>
export type TaskMessage = Extract<InMessage, { type: 'task' }>
export type FollowupMessage = Extract<InMessage, { type: 'message' }>

/** One model request as the gateway metered it. */
export const usageMessage = z.object({
  run: z.string(),
  attempt: z.int().min(1),
  /** 0 for embeddings, which are no step of the run. */
  step: z.int().min(0),
  at: z.iso.datetime(),
  provider: z.string(),
  model: z.string(),
  inputTokens: z.int().min(0).optional(),
  outputTokens: z.int().min(0).optional(),
  status: z.int(),
})
export type UsageMessage = z.infer<typeof usageMessage>
