import type { Store } from '../store/index.ts'

const keepMs = 3600 * 1000

/** Forgets Events an hour after they last happened, as kube-apiserver does. Call it now and then. */
export async function forgetOldEvents(store: Store, now: number): Promise<void> {
  const old = store.list('events').filter(({ object }) => {
    const last = [object.lastTimestamp, object.eventTime, object.metadata.creationTimestamp].find(
      (time) => typeof time === 'string' && time !== '',
    )
    return now - Date.parse(String(last)) > keepMs
  })
  if (old.length === 0) return
  await store.write((transaction) => {
    for (const entry of old) if (transaction.get(entry)?.revision === entry.revision) transaction.remove(entry)
  })
}
