import { createServer } from 'node:http'
import { startChain } from './chain.ts'
import { type Bench, figure, median, timed } from './figures.ts'
import { bodyOf, jsonClient, listen } from './http.ts'

const warmUp = 100
const times = 500

const answer = JSON.stringify({
  id: 'chatcmpl-bench',
  object: 'chat.completion',
  created: 0,
  model: 'bench',
  choices: [{ index: 0, message: { role: 'assistant', content: 'yes' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 1_000, completion_tokens: 1, total_tokens: 1_001 },
})

/**
 * proxyOverhead: what one model request takes longer through bridge and gateway, both recorded and metered, than
 * straight to the same provider, which answers at once. Requests alternate; each sample is one request through both,
 * less the median of the direct ones. Held against the goal of 3 ms.
 */
export const proxyOverhead: Bench = {
  figures: ['proxyOverhead'],
  async take() {
    const provider = createServer((request, response) => {
      void bodyOf(request).then(() => response.setHeader('content-type', 'application/json').end(answer))
    })
    const upstream = await listen(provider)
    const chain = await startChain(upstream).catch((error: Error) => {
      provider.close()
      throw error
    })
    const direct = jsonClient({ authorization: 'Bearer bench' })
    const through = jsonClient({ authorization: `Bearer ${chain.key}` })
    const body = { model: 'bench', messages: [{ role: 'user', content: 'x'.repeat(4_000) }] }
    try {
      const straight: number[] = []
      const proxied: number[] = []
      for (let i = 0; i < warmUp + times; i++) {
        const one = await timed(() => direct.post(`${upstream}/v1/chat/completions`, body))
        const other = await timed(() => through.post(`${chain.baseURL}/chat/completions`, body))
        if (i < warmUp) continue
        straight.push(one)
        proxied.push(other)
      }
      const floor = median(straight)
      return {
        proxyOverhead: figure(
          'ms',
          proxied.map((ms) => ms - floor),
          3,
        ),
      }
    } finally {
      direct.close()
      through.close()
      await chain.close()
      provider.closeAllConnections()
      provider.close()
    }
  },
}
