import {
  checkContent,
  isAbsent,
  isObject,
  type Json,
  objectsOf,
  onlyFields,
  type PartRule,
  refuse,
  wrong,
} from './rules.ts'

/** Fields of a messages request that stay within the model. */
const requestFields = new Set(
  `model messages system max_tokens stream temperature top_p top_k stop_sequences tools tool_choice metadata thinking
  service_tier cache_control output_config output_format`.split(/\s+/),
)

const requestReasons = {
  mcp_servers: 'remote MCP servers are not let through',
  container: 'containers at the provider are not let through',
  fallbacks: 'only the model that the run was given is let through',
}

const toolFields = new Set(
  'type name description input_schema cache_control strict input_examples eager_input_streaming defer_loading'.split(
    ' ',
  ),
)

const partFields = (...names: string[]) => new Set(['type', 'cache_control', ...names])

const text: PartRule = { fields: partFields('text', 'citations') }
const image: PartRule = {
  fields: partFields('source'),
  check: (part, path) => checkSource(part.source, path, ['base64']),
}
const searchResult: PartRule = {
  fields: partFields('source', 'title', 'content', 'citations'),
  check: (part, path) => checkContent(part.content, `${path}.content`, { text }),
}
const document: PartRule = {
  fields: partFields('source', 'title', 'context', 'citations'),
  check: (part, path) => checkSource(part.source, path, ['base64', 'text', 'content']),
}

const parts: Readonly<Record<string, PartRule>> = {
  text,
  image,
  document,
  search_result: searchResult,
  thinking: { fields: partFields('thinking', 'signature') },
  redacted_thinking: { fields: partFields('data') },
  tool_use: { fields: partFields('id', 'name', 'input', 'caller') },
  tool_result: {
    fields: partFields('tool_use_id', 'content', 'is_error'),
    check: (part, path) =>
      checkContent(part.content, `${path}.content`, { text, image, document, search_result: searchResult }),
  },
}

/** Throws ClawError `forbidden` for what would reach past the boundary, `invalid` for what is no messages request. */
export function checkMessages(body: Json): void {
  onlyFields(body, '', requestFields, requestReasons)
  checkContent(body.system, 'system', { text })
  for (const [i, message] of objectsOf(body.messages, 'messages', 10_000).entries()) {
    onlyFields(message, `messages[${i}]`, new Set(['role', 'content']))
    checkContent(message.content, `messages[${i}].content`, parts)
  }
  if (isAbsent(body.tools)) return
  for (const [i, tool] of objectsOf(body.tools, 'tools', 512).entries()) {
    if (!isAbsent(tool.type) && tool.type !== 'custom') {
      throw refuse(`tools[${i}].type`, 'only tools of type custom are let through; others are the provider’s own')
    }
    onlyFields(tool, `tools[${i}]`, toolFields)
  }
}

/** `base64`, `text`, and `content` stand in the request; `url` and `file` would be fetched or looked up. */
function checkSource(source: unknown, path: string, types: string[]): void {
  const field = `${path}.source`
  if (!isObject(source)) throw wrong(field, 'must be an object')
  if (typeof source.type !== 'string' || !types.includes(source.type)) {
    throw refuse(`${field}.type`, 'only inline content is let through; the provider would fetch this')
  }
  if (source.type === 'content') {
    onlyFields(source, field, new Set(['type', 'content']))
    checkContent(source.content, `${field}.content`, { text, image })
  } else {
    onlyFields(source, field, new Set(['type', 'media_type', 'data']))
  }
}
