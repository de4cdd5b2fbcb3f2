import {
  checkContent,
  dataUrlOnly,
  isAbsent,
  isObject,
  type Json,
  objectsOf,
  onlyFields,
  type PartRule,
  refuse,
  wrong,
} from './rules.ts'

/** Fields of a chat completion, of OpenAI and of the services that speak its format, that stay within the model. */
const requestFields = new Set(
  `model messages stream stream_options tools tool_choice parallel_tool_calls functions function_call response_format
  max_tokens max_completion_tokens temperature top_p top_k top_a min_p typical_p n stop seed user safety_identifier
  frequency_penalty presence_penalty repetition_penalty length_penalty logit_bias logprobs top_logprobs metadata
  modalities audio prediction reasoning_effort reasoning reasoning_format include_reasoning thinking enable_thinking
  thinking_budget chat_template_kwargs verbosity store service_tier prompt_cache_key prompt_cache_retention
  guided_json guided_regex guided_choice guided_grammar min_tokens stop_token_ids ignore_eos skip_special_tokens
  keep_alive`.split(/\s+/),
)

const requestReasons = {
  web_search_options: 'web search by the provider is not let through',
  search_parameters: 'web search by the provider is not let through',
  plugins: 'plugins of the provider are not let through',
  background: 'background responses are not let through',
  previous_response_id: 'responses that the provider keeps are not let through',
  conversation: 'conversations that the provider keeps are not let through',
  prompt: 'prompts that the provider keeps are not let through',
  models: 'only the model that the run was given is let through',
  mcp_servers: 'remote MCP servers are not let through',
}

const messageFields = new Set(
  `role content name tool_calls tool_call_id function_call refusal reasoning reasoning_content reasoning_details
  extra_content cache_control prefix`.split(/\s+/),
)

const toolFields = new Set(['type', 'function', 'cache_control'])

const partFields = (...names: string[]) => new Set(['type', 'cache_control', ...names])

const parts: Readonly<Record<string, PartRule>> = {
  text: { fields: partFields('text') },
  refusal: { fields: partFields('refusal') },
  image_url: {
    fields: partFields('image_url'),
    check: (part, path) => {
      const image = part.image_url
      if (!isObject(image)) return dataUrlOnly(image, `${path}.image_url`)
      onlyFields(image, `${path}.image_url`, new Set(['url', 'detail', 'format']))
      dataUrlOnly(image.url, `${path}.image_url.url`)
    },
  },
  input_audio: {
    fields: partFields('input_audio'),
    check: (part, path) => inline(part.input_audio, `${path}.input_audio`, ['data', 'format']),
  },
  file: {
    fields: partFields('file'),
    check: (part, path) => {
      const file = inline(part.file, `${path}.file`, ['file_data', 'filename'])
      // Some services take a URL where OpenAI takes a data: URL or base64.
      if (typeof file.file_data === 'string' && /^[a-z][a-z0-9+.-]*:/i.test(file.file_data)) {
        dataUrlOnly(file.file_data, `${path}.file.file_data`)
      }
    },
  },
}

/** Throws ClawError `forbidden` for what would reach past the boundary, `invalid` for what is no chat completion. */
export function checkChatCompletion(body: Json): void {
  onlyFields(body, '', requestFields, requestReasons)
  if (!isAbsent(body.store) && body.store !== false)
    throw refuse('store', 'responses stored by the provider are not let through')
  for (const [i, message] of objectsOf(body.messages, 'messages', 10_000).entries()) {
    const path = `messages[${i}]`
    onlyFields(message, path, messageFields, { audio: 'audio that the provider keeps is not let through' })
    checkContent(message.content, `${path}.content`, parts)
  }
  if (!isAbsent(body.tools)) {
    for (const [i, tool] of objectsOf(body.tools, 'tools', 512).entries()) {
      if (tool.type !== 'function') {
        throw refuse(`tools[${i}].type`, 'only tools of type function are let through; others run at the provider')
      }
      onlyFields(tool, `tools[${i}]`, toolFields)
    }
  }
  if (!isAbsent(body.stream_options)) {
    if (!isObject(body.stream_options)) throw wrong('stream_options', 'must be an object')
    onlyFields(body.stream_options, 'stream_options', new Set(['include_usage', 'include_obfuscation']))
  }
}

function inline(value: unknown, path: string, fields: string[]): Json {
  if (!isObject(value)) throw wrong(path, 'must be an object')
  onlyFields(value, path, new Set(fields), { file_id: 'files that the provider keeps are not let through' })
  return value
}
