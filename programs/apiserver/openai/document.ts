import * as z from 'zod'
import { type Api, describe, type Refusal } from '../openapi/route.ts'
import { chatHeaders, modelsQuery } from './parameters.ts'
import { chatRequest, hints, part, roles } from './request.ts'

const model = z
  .object({ id: z.string(), object: z.literal('model'), created: z.int(), owned_by: z.string() })
  .meta({ id: 'OpenAiModel' })

const completion = z
  .object({
    id: z.string(),
    object: z.literal('chat.completion'),
    created: z.int(),
    model: z.string(),
    choices: z.array(
      z.object({
        index: z.literal(0),
        message: z.object({ role: z.literal('assistant'), content: z.string(), refusal: z.null() }),
        logprobs: z.null(),
        finish_reason: z.literal('stop'),
      }),
    ),
    usage: z.object({ prompt_tokens: z.int(), completion_tokens: z.int(), total_tokens: z.int() }),
  })
  .meta({ id: 'ChatCompletion' })

const refusal: Refusal = {
  description: 'A refusal in the shape of OpenAI (docs/openai.md).',
  type: 'application/json',
  schema: z
    .object({
      error: z.object({ message: z.string(), type: z.string(), param: z.string().nullable(), code: z.string() }),
    })
    .meta({ id: 'OpenAiError' }),
}

/** What is checked step by step, as one schema. */
const body = chatRequest
  .extend({
    messages: z
      .array(z.looseObject({ role: z.enum(roles), content: z.union([z.string(), z.array(part).max(1_024)]) }))
      .min(1)
      .max(10_000),
    ...Object.fromEntries(hints.map((hint) => [hint, z.unknown().optional().describe('Accepted, without effect.')])),
  })
  .meta({ id: 'ChatCompletionRequest' })

const tag = 'OpenAI'

/** Puts the routes below `/v1` into openapi.json. */
export function describeOpenAi(api: Api): void {
  describe(api, {
    ...{ method: 'get', path: '/v1/models', operationId: 'listModels', tag, refusal },
    summary: 'The agents that the caller may list',
    query: modelsQuery,
    answers: {
      200: { description: 'All of them', schema: z.object({ object: z.literal('list'), data: z.array(model) }) },
    },
  })
  describe(api, {
    ...{ method: 'get', path: '/v1/models/{model}', operationId: 'getModel', tag, refusal },
    summary: 'One of them',
    params: z.object({
      model: z.string().describe('`<namespace>/<instance>`, and `/<agent>` of another than `default`.'),
    }),
    answers: { 200: { description: 'It exists', schema: model } },
  })
  describe(api, {
    ...{ method: 'post', path: '/v1/chat/completions', operationId: 'createChatCompletion', tag, refusal },
    summary: 'Asks an agent, and answers with its result or, with `stream`, as it speaks (text/event-stream)',
    headers: chatHeaders,
    body,
    answers: {
      200: { description: 'What the agent answers', schema: completion, types: { 'text/event-stream': z.string() } },
    },
  })
}
