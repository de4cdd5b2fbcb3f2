import { type SessionAddress, type Store, type TranscriptPlace, transcriptOf } from '#core/store'

/** All that was said in a conversation, as JSON, a message a line, read from the database as it is taken. */
export async function* exported(store: Store, address: SessionAddress): AsyncGenerator<string> {
  for (let after: TranscriptPlace | undefined; ; ) {
    const { messages, next } = await transcriptOf(store, address, { limit: 500, after })
    for (const message of messages) yield `${JSON.stringify(message)}\n`
    if (!next) return
    after = next
  }
}
