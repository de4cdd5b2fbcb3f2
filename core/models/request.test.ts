import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ClawError } from '#core/errors'
import { maxRequestBytes, readModelRequest, writeModelRequest } from './request.ts'
import type { WireFormat } from './wire.ts'

const bytes = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
const user = (...content: object[]) => ({ messages: [{ role: 'user', content }] })

function refusal(format: WireFormat, extra: object): { code: string; field: string | undefined } | undefined {
  try {
    readModelRequest(format, bytes({ model: 'm', messages: [{ role: 'user', content: 'hi' }], ...extra }))
    return undefined
  } catch (error) {
    if (!(error instanceof ClawError)) throw error
    return { code: error.code, field: error.field }
  }
}

const fileId = { type: 'file', file: { file_id: 'file-1' } }
const remoteImage = { type: 'image_url', image_url: { url: 'https://example.com/a.png' } }

const refused: [string, WireFormat, object, string][] = [
  ['a web search tool', 'openai', { tools: [{ type: 'web_search' }] }, 'tools[0].type'],
  ['a remote MCP tool', 'openai', { tools: [{ type: 'mcp', server_url: 'https://x' }] }, 'tools[0].type'],
  ['a tool without type', 'openai', { tools: [{ function: { name: 'f' } }] }, 'tools[0].type'],
  [
    'a function tool with a server beside it',
    'openai',
    { tools: [{ type: 'function', server_url: 'x' }] },
    'tools[0].server_url',
  ],
  ['web search options', 'openai', { web_search_options: {} }, 'web_search_options'],
  ['a stored response', 'openai', { store: true }, 'store'],
  ['a response stored by another word for true', 'openai', { store: 1 }, 'store'],
  ['a background response', 'openai', { background: true }, 'background'],
  ['a previous response', 'openai', { previous_response_id: 'r' }, 'previous_response_id'],
  ['a conversation of the service', 'openai', { conversation: 'c' }, 'conversation'],
  ['a list of other models', 'openai', { models: ['m', 'dear'] }, 'models'],
  ['plugins', 'openai', { plugins: [{ id: 'web' }] }, 'plugins'],
  ['a field nobody has judged', 'openai', { enable_search: true }, 'enable_search'],
  ['a field in other letters', 'openai', { Store: true }, 'Store'],
  ['a field named like a prototype', 'openai', JSON.parse('{"__proto__": {"store": true}}') as object, '__proto__'],
  ['a file id', 'openai', user(fileId), 'messages[0].content[0].file.file_id'],
  [
    'a file by URL',
    'openai',
    user({ type: 'file', file: { file_data: 'https://x/a.pdf' } }),
    'messages[0].content[0].file.file_data',
  ],
  ['a remote image', 'openai', user(remoteImage), 'messages[0].content[0].image_url.url'],
  [
    'a remote image as text',
    'openai',
    user({ type: 'image_url', image_url: 'http://x' }),
    'messages[0].content[0].image_url',
  ],
  [
    'an image by file URL',
    'openai',
    user({ type: 'image_url', image_url: { url: 'file:///etc' } }),
    'messages[0].content[0].image_url.url',
  ],
  [
    'a remote video',
    'openai',
    user({ type: 'video_url', video_url: { url: 'https://x' } }),
    'messages[0].content[0].type',
  ],
  ['stored audio', 'openai', { messages: [{ role: 'assistant', audio: { id: 'a' } }] }, 'messages[0].audio'],
  [
    'a remote image in a tool result',
    'openai',
    { messages: [{ role: 'tool', content: [remoteImage] }] },
    'messages[0].content[0].image_url.url',
  ],
  ['a web search tool', 'anthropic', { tools: [{ type: 'web_search_20250305', name: 'web_search' }] }, 'tools[0].type'],
  ['a code execution tool', 'anthropic', { tools: [{ type: 'code_execution_20250825', name: 'c' }] }, 'tools[0].type'],
  [
    'a tool that other tools may call',
    'anthropic',
    { tools: [{ name: 'f', allowed_callers: ['x'] }] },
    'tools[0].allowed_callers',
  ],
  ['remote MCP servers', 'anthropic', { mcp_servers: [{ type: 'url', url: 'https://x' }] }, 'mcp_servers'],
  ['a container', 'anthropic', { container: 'c' }, 'container'],
  ['a fallback model', 'anthropic', { fallbacks: 'default' }, 'fallbacks'],
  [
    'an image by URL',
    'anthropic',
    user({ type: 'image', source: { type: 'url', url: 'https://x' } }),
    'messages[0].content[0].source.type',
  ],
  [
    'an image by file id',
    'anthropic',
    user({ type: 'image', source: { type: 'file', file_id: 'f' } }),
    'messages[0].content[0].source.type',
  ],
  [
    'a document by URL',
    'anthropic',
    user({ type: 'document', source: { type: 'url', url: 'https://x' } }),
    'messages[0].content[0].source.type',
  ],
  [
    'a URL within a document within a tool result',
    'anthropic',
    user({
      type: 'tool_result',
      content: [
        { type: 'document', source: { type: 'content', content: [{ type: 'image', source: { type: 'url' } }] } },
      ],
    }),
    'messages[0].content[0].content[0].source.content[0].source.type',
  ],
  [
    'an upload to a container',
    'anthropic',
    user({ type: 'container_upload', file_id: 'f' }),
    'messages[0].content[0].type',
  ],
  [
    'the trace of a tool the provider ran',
    'anthropic',
    user({ type: 'server_tool_use', name: 'w' }),
    'messages[0].content[0].type',
  ],
  [
    'a URL beside an inline image',
    'anthropic',
    user({ type: 'image', source: { type: 'base64', url: 'x' } }),
    'messages[0].content[0].source.url',
  ],
]

const data = 'data:image/png;base64,AAAA'
const allowed: [string, WireFormat, object][] = [
  ['function tools', 'openai', { tools: [{ type: 'function', function: { name: 'f', parameters: {} } }] }],
  ['store: false and absent values as null', 'openai', { store: false, conversation: null, tools: null }],
  [
    'inline images, audio and files',
    'openai',
    user(
      { type: 'image_url', image_url: { url: data, detail: 'low' } },
      { type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } },
      { type: 'file', file: { file_data: 'data:application/pdf;base64,AAAA', filename: 'a.pdf' } },
    ),
  ],
  [
    'custom tools, with and without type',
    'anthropic',
    {
      tools: [
        { name: 'a', input_schema: {} },
        { type: 'custom', name: 'b' },
      ],
    },
  ],
  [
    'inline images and documents',
    'anthropic',
    user(
      { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } },
      { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'x' }, title: 't' },
      { type: 'tool_result', tool_use_id: 't', content: [{ type: 'text', text: 'x' }] },
    ),
  ],
  [
    'thinking, and what it left in the history',
    'anthropic',
    {
      thinking: { type: 'enabled', budget_tokens: 1024 },
      messages: [{ role: 'assistant', content: [{ type: 'thinking', thinking: 'x', signature: 's' }] }],
    },
  ],
]

describe('what of a request reaches a provider', () => {
  it.each(refused)('refuses %s (%s)', (_, format, extra, field) => {
    expect(refusal(format, extra)).toEqual({ code: 'forbidden', field })
  })

  it.each(allowed)('lets through %s (%s)', (_, format, extra) => {
    expect(refusal(format, extra)).toBeUndefined()
  })

  it.each([
    ['no model', { model: undefined }, 'model'],
    ['a stream that is neither true nor false', { stream: 1 }, 'stream'],
    ['messages that are no list', { messages: 'hi' }, 'messages'],
    ['a message that is no object', { messages: ['hi'] }, 'messages[0]'],
    ['too many tools', { tools: Array(513).fill({}) }, 'tools'],
  ])('says which field is wrong: %s', (_, extra, field) => {
    expect(refusal('openai', extra)).toEqual({ code: 'invalid', field })
  })

  it.each([
    ['no JSON', bytes('{'), 'malformed'],
    ['no object', bytes('[]'), 'malformed'],
    ['no UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'malformed'],
    ['too deep', bytes(`${'['.repeat(200_000)}${']'.repeat(200_000)}`), 'malformed'],
    ['too large', Buffer.alloc(maxRequestBytes + 1, 0x20), 'too_large'],
  ])('refuses a body with %s', (_, body, code) => {
    expect(() => readModelRequest('openai', body)).toThrow(expect.objectContaining({ code }) as Error)
  })

  it('sends what it judged, not what the client wrote, where a key is repeated', () => {
    const twice = '{"model":"m","messages":[],"store":true,"store":false}'
    expect(JSON.parse(writeModelRequest(readModelRequest('openai', bytes(twice))))).toEqual({
      model: 'm',
      messages: [],
      store: false,
    })
  })

  it('asks for usage on behalf of a client that streams without it, and says so', () => {
    const request = { model: 'm', messages: [], stream: true, stream_options: { include_usage: false } }
    const read = readModelRequest('openai', bytes(request))
    expect(read.withholdUsage).toBe(true)
    expect(JSON.parse(writeModelRequest(read))).toEqual({ ...request, stream_options: { include_usage: true } })
    const asking = { ...request, stream_options: { include_usage: true } }
    expect(readModelRequest('openai', bytes(asking)).withholdUsage).toBe(false)
  })

  it('answers any JSON with a verdict, never with another kind of error', () => {
    fc.assert(
      fc.property(
        fc.constantFrom<WireFormat>('openai', 'anthropic'),
        fc.jsonValue(),
        fc.jsonValue(),
        (format, a, b) => {
          for (const extra of [
            { tools: [a], messages: [{ content: [b] }] },
            { messages: a, system: b },
            { [JSON.stringify(a)]: b },
          ]) {
            refusal(format, extra as object)
          }
        },
      ),
    )
  })
})
