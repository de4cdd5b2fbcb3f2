import * as z from 'zod'
import { ClawError } from '#core/errors'
import { maxTaskLength } from '#core/kinds'
import { runRequest } from '../requests.ts'
import { type Message, taskOf } from './task.ts'

/** A value that asks for nothing, as clients send it that spell every parameter out. */
const asksNothing = (value: unknown) =>
  value === undefined ||
  value === null ||
  value === false ||
  (typeof value === 'object' && Object.keys(value).length === 0)
const absent = (why: string) => z.unknown().refine(asksNothing, why).optional()
const only = (values: readonly unknown[], why: string) =>
  z
    .unknown()
    .refine((value) => asksNothing(value) || values.includes(value), why)
    .optional()

const ownTools = 'the tools of an agent are its own; a client cannot bring any'
const onlyText = 'only text is understood: no images, sound or files'

/** A part of a message. */
export const part = z.object({ type: z.literal('text', onlyText), text: z.string() })
const content = z.preprocess(
  (value) => (typeof value === 'string' ? [{ type: 'text', text: value }] : value),
  z.array(part, 'Invalid input: expected text').max(1_024),
)
export const roles = ['system', 'developer', 'user', 'assistant'] as const
/** Role and text count. What else a message carries, as the one that a client was answered does, is left out. */
const message = z
  .object({
    role: z.enum(roles, `one of ${roles.join(', ')}`),
    content,
    tool_calls: absent(ownTools),
    function_call: absent(ownTools),
    audio: absent(onlyText),
  })
  .transform(({ role, content }): Message => ({ role, content: content.map(({ text }) => text).join('\n') }))

/** What clients send out of habit and an agent has no use for: accepted, and named in the response as ignored. */
export const hints = [
  'temperature',
  'top_p',
  'frequency_penalty',
  'presence_penalty',
  'seed',
  'max_tokens',
  'max_completion_tokens',
  'reasoning_effort',
  'verbosity',
  'service_tier',
  'user',
  'safety_identifier',
  'prompt_cache_key',
  'prompt_cache_retention',
  'parallel_tool_calls',
] as const
type Hint = (typeof hints)[number]
const anything = z.unknown().optional()
const ignored = Object.fromEntries(hints.map((hint) => [hint, anything])) as Record<Hint, typeof anything>

/** Body of `POST /v1/chat/completions` (docs/openai.md): what would change the answer and cannot be done is refused. */
export const chatRequest = z.strictObject({
  model: z.string().max(256),
  messages: z.array(message).min(1).max(10_000),
  stream: z.boolean().nullish(),
  stream_options: z
    .strictObject({ include_usage: z.boolean().nullish(), include_obfuscation: z.literal(false).nullish() })
    .nullish(),
  metadata: z.strictObject({ session: runRequest.shape.sessionKey }).nullish(),
  n: only([1], 'a run has one answer'),
  tools: absent(ownTools),
  functions: absent(ownTools),
  tool_choice: only(['none', 'auto'], ownTools),
  function_call: only(['none', 'auto'], ownTools),
  response_format: z
    .unknown()
    .refine((value) => asksNothing(value) || z.object({ type: z.literal('text') }).safeParse(value).success, {
      error: 'an agent answers with text; say in the message what shape it should have',
    })
    .optional(),
  stop: absent('an agent ends when it is done'),
  logit_bias: absent('an agent has no tokens to weigh'),
  logprobs: absent('an agent has no tokens to weigh'),
  top_logprobs: only([0], 'an agent has no tokens to weigh'),
  modalities: z
    .unknown()
    .refine((value) => asksNothing(value) || (Array.isArray(value) && value.every((one) => one === 'text')), onlyText)
    .optional(),
  audio: absent(onlyText),
  prediction: absent('an agent is not told what it will answer'),
  web_search_options: absent(ownTools),
  store: absent('answers are kept as sessions, not as stored completions'),
  ...ignored,
})

/** What a client wants, in the words of a run. */
export interface Chat {
  /** As the client named it; the response repeats it. */
  model: string
  namespace: string
  instance: string
  agent: string
  task: string
  systemPrompt: string | undefined
  sessionKey: string | undefined
  stream: boolean
  includeUsage: boolean
  /** Names of parameters that had no effect. */
  ignored: string[]
}

/**
 * Reads a request. `session` is the conversation that a header named; it wins over `metadata.session`. Throws `invalid`
 * with the parameter, `not_found` for a model that cannot exist, `too_large` for messages that are no task any more.
 */
export function readChat(body: z.output<typeof chatRequest>, session: string | undefined): Chat {
  const sessionKey = session ?? body.metadata?.session
  const wanted = { ...agentNamed(body.model), ...taskOf(body.messages, { remembered: sessionKey !== undefined }) }
  const { namespace, ...run } = { ...wanted, sessionKey }
  const { error } = runRequest.safeParse(run)
  const issue = error?.issues[0]
  if (issue) throw notARun(issue)
  return {
    ...{ model: body.model, namespace, ...run },
    stream: body.stream ?? false,
    includeUsage: body.stream_options?.include_usage ?? false,
    ignored: hints.filter((hint) => !asksNothing(body[hint])),
  }
}

/** `<namespace>/<instance>`, and `/<agent>` where it is not the default one. */
export function modelName(namespace: string, instance: string, agent: string): string {
  return agent === 'default' ? `${namespace}/${instance}` : `${namespace}/${instance}/${agent}`
}

const label = '[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?'
const named = new RegExp(`^(?<namespace>${label})/(?<instance>${label})(/(?<agent>${label}))?$`)

/** Whom a model name means. Throws `not_found` that shows how models are named. */
export function agentNamed(model: string): { namespace: string; instance: string; agent: string } {
  const { namespace, instance, agent = 'default' } = named.exec(model)?.groups ?? {}
  if (namespace && instance) return { namespace, instance, agent }
  throw noSuchModel(model, 'a model is <namespace>/<instance> or <namespace>/<instance>/<agent>')
}

export function noSuchModel(model: string, why: string): ClawError {
  return new ClawError('not_found', `the model ${JSON.stringify(model)} does not exist: ${why}`, { field: 'model' })
}

function notARun({ path, code, message }: z.core.$ZodIssue): ClawError {
  const [part] = path
  const field = part === 'task' || part === 'systemPrompt' ? 'messages' : 'model'
  if (code !== 'too_big') return new ClawError('invalid', `${field}: ${message}`, { field })
  const why =
    part === 'task'
      ? `an agent takes at most ${maxTaskLength} characters; name a session, and only the last message is sent on`
      : 'the system messages are longer than a system prompt may be'
  return new ClawError('too_large', `${field}: ${why}`, { field })
}
