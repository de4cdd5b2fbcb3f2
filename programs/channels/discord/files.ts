import { isRefusal, openFile, ServiceError } from '../frame/index.ts'
import type { DiscordApi } from './rest.ts'
import { type Message, message } from './shapes.ts'

type File = Message['attachments'][number]

/** Where a file lay when its message came, and where Discord says it again: the message that it is part of. */
const refForm = /^(?<chat>[1-9]\d{0,19})\/(?<at>[1-9]\d{0,19})\/(?<id>[1-9]\d{0,19}) (?<url>\S+)$/

/** By what a file is found again; nothing where Discord does not say where it lies. */
export function refOf({ channel_id: chat, id: at }: Pick<Message, 'channel_id' | 'id'>, { id, url }: File) {
  return id === undefined || url === undefined ? {} : { ref: `${chat}/${at}/${id} ${url}` }
}

/**
 * Opens a file by that. The address is its key, for a day or so: the CDN is told nothing of the bot, and once it knows the
 * address no more the message is read again for the present one.
 */
export async function openRef(
  api: DiscordApi,
  cdn: string,
  ref: string,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  const { chat, at, id, url } = refForm.exec(ref)?.groups ?? {}
  if (chat === undefined || at === undefined || id === undefined || url === undefined) throw gone()
  const from = { service: 'Discord', origins: [cdn], signal }
  try {
    return await openFile(url, from)
  } catch (error) {
    if (!isRefusal(error, 'never') || error.reason !== 'FileGone') throw error
  }
  const read = await api.get(`/channels/${chat}/messages/${at}`, { signal }).catch((error: unknown) => {
    // Deleted, or not to be read: the file alone is lost by it.
    throw isRefusal(error, 'never') || isRefusal(error, 'message') ? gone() : error
  })
  const present = message.safeParse(read).data?.attachments.find((file) => file.id === id)?.url
  if (present === undefined || present === url) throw gone()
  return await openFile(present, from)
}

function gone(): ServiceError {
  return new ServiceError('never', 'FileGone', 'Discord does not have the file any more.')
}
