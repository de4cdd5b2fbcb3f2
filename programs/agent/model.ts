import type { LanguageModel } from 'ai'
import type { TaskFile } from '#core/ipc'
import type { Settings } from './settings.ts'

/**
 * The model of the task behind the bridge, in the wire format of its provider. The provider's library is loaded only
 * when it is wanted.
 */
export async function modelFor({ model }: TaskFile, { openai, anthropic }: Settings): Promise<LanguageModel> {
  if (model.provider === 'anthropic') {
    const { createAnthropic } = await import('@ai-sdk/anthropic')
    // By the convention of the variable it ends before the version; this library wants it with.
    const baseURL = `${anthropic.baseURL.replace(/\/$/, '')}/v1`
    return createAnthropic({ baseURL, apiKey: anthropic.apiKey })(model.name)
  }
  const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible')
  return createOpenAICompatible({ name: model.provider, ...openai, includeUsage: true })(model.name)
}
