import * as z from 'zod'

export const toolOffer = z.object({
  name: z.string().min(1).max(128),
  description: z.string().max(4096),
  /** JSON Schema of the tool's input. */
  inputSchema: z.record(z.string(), z.unknown()),
  /** Whether calling twice with the same input does no more than calling once. */
  repeatable: z.boolean(),
})
export type ToolOffer = z.infer<typeof toolOffer>

export const skillOffer = z.object({
  name: z.string().min(1).max(63),
  description: z.string().max(1024),
  path: z.string().max(4096),
})

/** The content of /ipc/input/task.json, version 1 (the /ipc contract, docs/ipc.md). */
export const taskFile = z.object({
  version: z.literal(1),
  run: z.string(),
  uid: z.string(),
  namespace: z.string(),
  instance: z.string(),
  agent: z.string(),
  sessionKey: z.string().optional(),
  attempt: z.int().min(1),
  task: z.string(),
  systemPrompt: z.string().optional(),
  model: z.object({ provider: z.string(), name: z.string() }),
  history: z.array(z.object({ role: z.enum(['user', 'assistant']), content: z.string() })),
  historyCut: z.boolean().optional(),
  tools: z.array(toolOffer),
  skills: z.array(skillOffer),
  files: z.array(z.string()),
  limits: z.object({ timeoutSeconds: z.int().min(1), maxSteps: z.int().min(1), maxTokens: z.int().min(1) }),
  traceparent: z.string().optional(),
})
export type TaskFile = z.infer<typeof taskFile>
