import * as z from 'zod'
import { agentRunSpec, dnsLabel } from '#core/kinds'

const { agent, task, sessionKey, systemPrompt, model, toolPolicy, timeout, ttlSecondsAfterFinished } =
  agentRunSpec.shape

/** No program can be given a NUL byte, and no terminal or file should meet one. */
const withoutNul = (text: string | undefined) => !text?.includes('\0')
const nul = 'must not hold a NUL character'

/** Body of `POST .../runs`. */
export const runRequest = z.strictObject({
  instance: dnsLabel,
  agent,
  task: task.refine(withoutNul, nul),
  sessionKey: sessionKey.refine(withoutNul, nul),
  systemPrompt: systemPrompt.refine(withoutNul, nul),
  model: model.unwrap().strict().optional(),
  toolPolicy: toolPolicy.unwrap().strict().optional(),
  timeout,
  ttlSecondsAfterFinished,
})

/** Body of `PATCH .../runs/{name}`: the one thing of a run that may change. */
export const cancelRequest = z.strictObject({ cancel: z.literal(true, 'only turns true') })
