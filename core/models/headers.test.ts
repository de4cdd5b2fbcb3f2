import { describe, expect, it } from 'vitest'
import { replyHeaders, requestHeaders } from './headers.ts'

describe('headers', () => {
  it('lets only listed ones reach the provider, and never a credential', () => {
    const incoming = {
      authorization: 'Bearer run-token',
      'x-api-key': 'bridge-key',
      'x-k8sclaw-step': '3',
      cookie: 'c',
      'openai-organization': 'other',
      accept: 'text/event-stream',
    }
    expect(requestHeaders('openai', incoming)).toEqual({
      'content-type': 'application/json',
      'accept-encoding': 'identity',
      accept: 'text/event-stream',
      'user-agent': 'k8sclaw-gateway',
    })
  })

  it('leaves out beta features that reach past the model', () => {
    const { 'anthropic-beta': beta, 'anthropic-version': version } = requestHeaders('anthropic', {
      'anthropic-beta':
        'mcp-client-2025-04-04, interleaved-thinking-2025-05-14,files-api-2025-04-14,effort-mcp-2025-01-01',
    })
    expect([beta, version]).toEqual(['interleaved-thinking-2025-05-14', '2023-06-01'])
  })

  it('lets only listed ones reach the client', () => {
    expect(replyHeaders({ 'content-type': 'a', 'set-cookie': ['x'], location: 'y', 'request-id': 'r' })).toEqual({
      'content-type': 'a',
      'request-id': 'r',
    })
  })
})
