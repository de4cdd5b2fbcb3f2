import { expect, test } from 'vitest'
import { offerOf, type ToolRequest } from '#core/ipc'
import { builtInDemo, demoReply, readModelRequest } from '#core/models'
import { type Reply, Rig } from './rig.ts'

/** The demo model of the platform as the gateway serves it, its refusals of requests included. */
const demo: Reply = (response, { url, body }) => {
  const format = url.startsWith('/anthropic/') ? 'anthropic' : 'openai'
  const request = readModelRequest(format, Buffer.from(JSON.stringify(body)))
  const { status, headers, pieces } = demoReply(builtInDemo, format, request.body)
  response.writeHead(status, headers)
  for (const { bytes } of pieces) response.write(bytes)
  response.end()
}

const agent = [process.execPath, 'programs/agent/main.ts']
test.each([
  ['the agent, in the format of OpenAI', agent, 'demo'],
  ['the agent, in the format of Anthropic', agent, 'anthropic'],
  ['the example in sh', ['/bin/sh', 'examples/agents/sh/agent.sh'], 'demo'],
  ['the example in python', ['python3', 'examples/agents/python/agent.py'], 'demo'],
])('%s goes all the way with the demo model, and no request of it is refused', async (_, argv, provider) => {
  const rig = await Rig.open(argv)
  try {
    rig.replies = Array(8).fill(demo)
    const seen = rig.answerCalls(({ tool }: ToolRequest) => {
      expect(tool).toBe('exec')
      return { ok: true, output: { exitCode: 0, stdout: 'Linux "6.1"\n2026\n', stderr: '' } }
    })
    const { code, output, result } = await rig.run({ model: { provider, name: 'demo' }, tools: [offerOf('exec')] })
    expect({ code, output }).toEqual({ code: 0, output: '' })
    expect(seen).toHaveLength(1)
    expect(result).toMatchObject({ status: 'success', response: expect.stringContaining('Linux "6.1"\n2026\n') })
  } finally {
    await rig.close()
  }
})
