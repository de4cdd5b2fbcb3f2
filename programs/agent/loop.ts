import type { ModelMessage } from 'ai'
import { errorMessage } from '#core/errors'
import { limits, type ResultFile, type TaskFile } from '#core/ipc'
import { fitContext } from './context.ts'
import type { Mailbox } from './mailbox.ts'
import { modelFor } from './model.ts'
import { instructionsFor, messageFor, messagesFor } from './prompt.ts'
import type { Settings } from './settings.ts'
import { takeStep } from './step.ts'
import { perform, toolsOf } from './tools.ts'

export interface WorkOptions {
  task: TaskFile
  settings: Settings
  mailbox: Mailbox
  signal: AbortSignal
}

/** Why the model stopped where it was not done. */
const unfinished: Record<string, string> = {
  length: 'the model reached the length limit of one answer',
  'content-filter': 'the provider filtered the answer',
  error: 'the provider reported an error',
}

/** Does the task: model call, tool calls in parallel, and again, until the model calls no more tools or a limit is met. */
export async function work({ task, settings, mailbox, signal }: WorkOptions): Promise<ResultFile> {
  const { maxSteps, maxTokens } = task.limits
  const model = await modelFor(task, settings)
  const instructions = instructionsFor(task)
  const tools = toolsOf(task)
  let messages: ModelMessage[] = messagesFor(task)
  let tokens = 0
  let text = ''

  for (let number = 1; number <= maxSteps; number++) {
    messages = [...messages, ...(await mailbox.followups(signal)).map(messageFor)]
    const fitted = fitContext(messages)
    messages = fitted.messages
    if (fitted.leftOut > 0) mailbox.say({ type: 'status', text: `left out ${fitted.leftOut} old tool outputs` })
    const onRetry = (error: unknown) =>
      mailbox.say({ type: 'status', text: `model call failed, trying again: ${errorMessage(error).slice(0, 500)}` })

    const step = await takeStep({ model, instructions, messages, tools, signal, onRetry })
    text = step.text || text
    tokens += step.tokens
    if (step.calls.length === 0) {
      const problem = unfinished[step.finishReason]
      return problem ? failure(step.finishReason, problem, step.text) : success(step.text)
    }
    if (tokens >= maxTokens) return failure('max_tokens', `the run used ${tokens} of ${maxTokens} tokens`, text)

    const options = { task, skillsDir: settings.skillsDir, mailbox, signal }
    const content = await Promise.all(step.calls.map((call, i) => perform(call, `${number}-${i + 1}`, options)))
    messages = [...messages, ...step.said, { role: 'tool', content }]
  }
  return failure('max_steps', `the task was not done after ${maxSteps} model calls`, text)
}

/** What an error of the work, or the end of its time, means for the result. */
export function resultOf(error: unknown, signal: AbortSignal): ResultFile {
  if (signal.aborted && signal.reason instanceof Stopped) return failure(signal.reason.code, signal.reason.message)
  return failure('failed', errorMessage(error))
}

/** Why the work was stopped from outside. */
export class Stopped extends Error {
  readonly code: 'cancelled' | 'timeout'

  constructor(code: 'cancelled' | 'timeout', message: string) {
    super(message)
    this.code = code
  }
}

function success(response: string): ResultFile {
  return { status: 'success', response: fitting(response) }
}

function failure(code: string, message: string, response?: string): ResultFile {
  const error = { code, message: message.slice(0, 8_192).toWellFormed() }
  return { status: 'error', ...(response && { response: fitting(response) }), error }
}

const note = '\n[the answer was longer and has been cut]'

/** A response whose file stays below the limit of the contract, escapes included. */
function fitting(text: string): string {
  const room = limits.fileBytes - 32_768
  let whole = text.toWellFormed()
  if (Buffer.byteLength(JSON.stringify(whole)) <= room) return whole
  while (Buffer.byteLength(JSON.stringify(whole)) > room) whole = whole.slice(0, Math.floor(whole.length * 0.9))
  return whole.toWellFormed() + note
}
