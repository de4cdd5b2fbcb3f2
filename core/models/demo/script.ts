import { LineCounter, parseDocument } from 'yaml'
import * as z from 'zod'
import { ClawError } from '#core/errors'
import { checkTemplate } from './template.ts'

/*
 * A script of the demo model, in YAML. The model is a pure function of the script and the conversation: the reply is
 * that of the first step whose `when` holds.
 *
 *   steps:
 *     - when:                      # all that are given must hold; without `when` a step always holds
 *         turns: 0                 # replies the model has given since the last message of the user
 *         user: '*weather*'        # glob on the last message of the user; `*` is any text
 *         result: '*error*'        # glob on the newest tool result since that message
 *         tools: [exec]            # all of these are offered
 *       reply:
 *         text: I look it up.      # streamed word by word; a list of texts is streamed as it is
 *         delayMs: 50              # wait before each piece (a word, an entry of the list, a tool call)
 *         toolCalls:
 *           - name: exec
 *             arguments: { script: 'uname -s' }
 *         finish: length           # instead of the natural end: stop, or tool calls
 *         usage: { input: 10, output: 5 }   # instead of the count
 *     - reply:
 *         error: { status: 529, message: too busy, retryable: true }   # in place of text and tool calls
 *
 * Texts and the strings in arguments may hold `{{user}}` (the last message of the user), `{{turns}}`,
 * `{{tools}}` (names, joined by commas), `{{result}}` (the newest tool result), `{{results.0}}` (the first one since
 * the user's message) and `{{results.0.stdout}}` (a field of it, where it is JSON; else the whole of it).
 *
 * Tokens are counted the same on every machine: a text has ceil(bytes of UTF-8 / 4).
 */

const template = z
  .string()
  .max(65_536)
  .superRefine((text, context) => {
    const problem = checkTemplate(text)
    if (problem) context.addIssue({ code: 'custom', message: problem })
  })

type Argument = string | number | boolean | null | Argument[] | { [name: string]: Argument }
const argument: z.ZodType<Argument> = z.lazy(() =>
  z.union([
    template,
    z.number(),
    z.boolean(),
    z.null(),
    z.array(argument).max(256),
    z.record(z.string().max(256), argument),
  ]),
)

const when = z.strictObject({
  turns: z.int().min(0).max(10_000).optional(),
  user: z.string().max(4096).optional(),
  result: z.string().max(4096).optional(),
  tools: z.array(z.string().min(1).max(128)).max(64).optional(),
})

const reply = z
  .strictObject({
    text: z.union([template, z.array(template).max(4096)]).optional(),
    delayMs: z.int().min(0).max(600_000).default(0),
    toolCalls: z
      .array(z.strictObject({ name: z.string().min(1).max(128), arguments: z.record(z.string().max(256), argument) }))
      .max(64)
      .default([]),
    finish: z.enum(['stop', 'length']).optional(),
    usage: z.strictObject({ input: z.int().min(0), output: z.int().min(0) }).optional(),
    error: z
      .strictObject({
        status: z.int().min(400).max(599),
        message: z.string().min(1).max(1024),
        retryable: z.boolean().default(false),
      })
      .optional(),
  })
  .refine((r) => r.error || r.text !== undefined || r.toolCalls.length > 0, {
    message: 'one of text, toolCalls and error is needed',
  })
  .refine((r) => !r.error || (r.text === undefined && r.toolCalls.length === 0 && !r.finish && !r.usage), {
    message: 'error stands alone, or with delayMs',
  })

export const demoScript = z.strictObject({
  steps: z
    .array(z.strictObject({ when: when.default({}), reply }))
    .min(1)
    .max(256),
})

export type DemoScript = z.infer<typeof demoScript>
export type DemoStep = DemoScript['steps'][number]
export type DemoArgument = Argument

/** Longest script, in UTF-16 code units. */
export const maxScriptLength = 262_144

/** Reads a script. Throws ClawError `malformed` with the line, or `invalid` with the field. */
export function parseDemoScript(yaml: string): DemoScript {
  if (yaml.length > maxScriptLength) throw new ClawError('too_large', 'the demo script is longer than 256 Ki')
  const lineCounter = new LineCounter()
  const document = parseDocument(yaml, { lineCounter, prettyErrors: false, stringKeys: true })
  const error = document.errors[0] ?? document.warnings[0]
  if (error) {
    const line = lineCounter.linePos(error.pos[0]).line
    throw new ClawError('malformed', `the demo script does not parse: line ${line}: ${error.message}`)
  }
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: 100 })
  } catch (cause) {
    throw new ClawError('malformed', 'the demo script does not resolve: too many aliases', { cause })
  }
  const parsed = demoScript.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  const field = pathText(issue)
  throw new ClawError('invalid', `the demo script: ${field}: ${issue?.message ?? 'is not valid'}`, { field })
}

function pathText(issue: z.core.$ZodIssue | undefined): string {
  const keys = issue?.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0] ?? ''] : (issue?.path ?? [])
  const text = keys.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('')
  return text.replace(/^\./, '') || 'steps'
}
