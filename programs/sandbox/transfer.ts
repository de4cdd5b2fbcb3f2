import type { IncomingMessage, ServerResponse } from 'node:http'
import { Refusal } from './refusal.ts'
import type { Workspace } from './workspace.ts'

/** Largest file that goes in or out whole, bytes. */
const maxBytes = 20 * 1024 * 1024

/**
 * Files as they are, for the bridge alone: `PUT /file?path=` puts one into the workspace, `GET /file?path=` gives one.
 * Paths are walked as those of the file tools are; what is refused is 422 with the words of a tool's answer.
 */
export async function transfer(incoming: IncomingMessage, response: ServerResponse, workspace: Workspace) {
  const path = new URL(incoming.url ?? '/', 'http://sandbox').searchParams.get('path') ?? ''
  try {
    if (incoming.method === 'PUT') {
      workspace.write(path, await bodyOf(incoming))
      response.writeHead(204).end()
    } else {
      const { bytes } = workspace.read(path, maxBytes)
      response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': bytes.length }).end(bytes)
    }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    response.writeHead(422, { 'content-type': 'application/json' }).end(JSON.stringify(error.answer))
  }
}

async function bodyOf(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length <= maxBytes) chunks.push(chunk)
    else chunks.length = 0
  }
  if (length > maxBytes) throw new Refusal('invalid_input', `larger than ${maxBytes} bytes`)
  return Buffer.concat(chunks)
}
