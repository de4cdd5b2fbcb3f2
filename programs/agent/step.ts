import { setTimeout as sleep } from 'node:timers/promises'
import { APICallError, type LanguageModel, type ModelMessage, NoSuchToolError, streamText, type ToolSet } from 'ai'

/**
 * A tool that the model asked for. `invalid` says why it cannot be called at all. A tool that was not offered can: the
 * boundary judges it, so that the record shows what the model tried and which policy refused it.
 */
export interface WantedCall {
  toolCallId: string
  toolName: string
  input: unknown
  invalid?: string
}

export interface Step {
  text: string
  calls: WantedCall[]
  /** What the model said, as the next request repeats it. */
  said: ModelMessage[]
  finishReason: string
  tokens: number
}

export interface StepOptions {
  model: LanguageModel
  instructions: string
  messages: ModelMessage[]
  tools: ToolSet
  signal: AbortSignal
  /** Told of each failure that is tried again. */
  onRetry: (error: unknown) => void
}

const retryDelaysMs = [500, 2_000, 8_000]

/**
 * One model call, streamed. A failure that may pass is tried again: nothing has been performed yet, so it repeats no
 * effect. What the boundary refuses says `x-should-retry: false`, and that is kept to.
 */
export async function takeStep(options: StepOptions): Promise<Step> {
  for (let failures = 0; ; failures++) {
    try {
      return await streamStep(options)
    } catch (error) {
      const delay = retryDelaysMs[failures]
      if (options.signal.aborted || delay === undefined || !mayPass(error)) throw error
      options.onRetry(error)
      await sleep(retryAfterMs(error) ?? delay, undefined, { signal: options.signal })
    }
  }
}

async function streamStep({ model, instructions, messages, tools, signal }: StepOptions): Promise<Step> {
  let failure: { error: unknown } | undefined
  const result = streamText({
    model,
    instructions,
    messages,
    tools,
    abortSignal: signal,
    maxRetries: 0,
    onError: ({ error }) => {
      failure ??= { error }
    },
  })
  try {
    await result.consumeStream()
    if (failure) throw failure.error
    signal.throwIfAborted()
    const [text, calls, said, finishReason, usage] = await Promise.all([
      result.text,
      result.toolCalls,
      result.responseMessages,
      result.finishReason,
      result.usage,
    ])
    return {
      text,
      calls: calls.map(({ toolCallId, toolName, input, ...rest }) => ({
        toolCallId,
        toolName,
        input,
        ...('invalid' in rest &&
          rest.invalid &&
          !NoSuchToolError.isInstance(rest.error) && { invalid: messageOf(rest.error) }),
      })),
      // Answers to invalid calls are left out: every call is answered in one place.
      said: said.filter((message) => message.role === 'assistant'),
      finishReason,
      tokens: (usage.inputTokens ?? 0) + (usage.outputTokens ?? 0),
    }
  } catch (error) {
    throw failure?.error ?? error
  }
}

function mayPass(error: unknown): boolean {
  if (!APICallError.isInstance(error)) return false
  return error.isRetryable && error.responseHeaders?.['x-should-retry'] !== 'false'
}

function retryAfterMs(error: unknown): number | undefined {
  const value = APICallError.isInstance(error) ? Number(error.responseHeaders?.['retry-after']) : Number.NaN
  return value >= 0 && value <= 60 ? value * 1000 : undefined
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
