import { Agent, type IncomingMessage, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** Listens on a free port of 127.0.0.1; resolves with the address. */
export async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

export async function bodyOf(message: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of message as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** A client that keeps one connection, as an agent's SDK does; both sides of a comparison use the same. */
export function jsonClient(headers: Record<string, string>) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  return {
    /** Posts and reads the answer to its end. Throws unless it is 200. */
    async post(url: string, body: object): Promise<string> {
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        const outgoing = request(url, {
          method: 'POST',
          agent,
          headers: { 'content-type': 'application/json', ...headers },
        })
        outgoing.on('response', resolve)
        outgoing.on('error', reject)
        outgoing.end(JSON.stringify(body))
      })
      const text = await bodyOf(response)
      if (response.statusCode !== 200) throw new Error(`${url} answered ${response.statusCode}: ${text.slice(0, 200)}`)
      return text
    },
    close: () => agent.destroy(),
  }
}
