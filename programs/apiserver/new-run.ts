import * as z from 'zod'
import { type AgentRun, agentRunSpec, agentRuns, apiVersion, dnsLabel } from '#core/kinds'
import type { Unborn } from '#core/kube'

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
export type RunRequest = z.infer<typeof runRequest>

/** Body of `PATCH .../runs/{name}`: the one thing of a run that may change. */
export const cancelRequest = z.strictObject({ cancel: z.literal(true, 'only turns true') })

/** The AgentRun that a request asks for; Kubernetes gives it its name. */
export function newRun(namespace: string, { instance, ...rest }: RunRequest): Unborn<AgentRun> {
  return {
    apiVersion,
    kind: agentRuns.kind,
    // 58 characters are what Kubernetes keeps of a prefix; the name must stay a DNS label with its suffix.
    metadata: { namespace, generateName: `${instance.slice(0, 50)}-` },
    spec: { instanceRef: { name: instance }, ...defined(rest) },
  }
}

/** Without the fields that are undefined: absent is absent, also under exactOptionalPropertyTypes. */
function defined<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const present = Object.entries(fields).filter(([, value]) => value !== undefined)
  return Object.fromEntries(present) as { [K in keyof T]: Exclude<T[K], undefined> }
}
