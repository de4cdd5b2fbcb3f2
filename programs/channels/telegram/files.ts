import { type Api, InputFile } from 'grammy'
import { type HandedFile, openFile, ServiceError } from '../frame/index.ts'
import { isNoPicture } from './refusals.ts'
import type { Variables } from './settings.ts'

type Other = NonNullable<Parameters<Api['sendDocument']>[2]>
type Signal = Parameters<Api['getMe']>[0]

/** What Telegram shows as a picture, and up to which size; all else it shows as a file. */
const pictures: ReadonlySet<string> = new Set(['image/jpeg', 'image/png', 'image/webp'])
const maxPictureBytes = 10 * 1024 * 1024

/** What is at an address of ours for files. One with other letters would lead elsewhere. */
const pathForm = /^[\w-]+(?:[./][\w-]+)*$/

/**
 * Opens a file by the id that a message gave it. Telegram says first where it lies, in an address that holds the token.
 */
export async function openById(
  api: Api,
  { TELEGRAM_API_URL: url, TELEGRAM_BOT_TOKEN: token }: Pick<Variables, 'TELEGRAM_API_URL' | 'TELEGRAM_BOT_TOKEN'>,
  id: string,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  const { file_path: path = '' } = await api.getFile(id, signal as unknown as Signal)
  // A Bot API server of one's own may give a path on its own disk, which is none here.
  if (!pathForm.test(path)) throw new ServiceError('never', 'FileGone', 'Telegram does not say where the file is')
  const address = `${url.replace(/\/$/, '')}/file/bot${token}/${path}`
  return await openFile(address, { service: 'Telegram', origins: [new URL(url).origin], signal })
}

/** Posts a file: as a picture where Telegram takes it for one, and as it is otherwise. */
export async function postFile(
  api: Api,
  chat: string,
  { name, type, bytes }: HandedFile,
  other: Other,
  signal: AbortSignal,
): Promise<string> {
  const until = signal as unknown as Signal
  if (pictures.has(type) && bytes.length <= maxPictureBytes) {
    try {
      const shown = await api.sendPhoto(chat, new InputFile(bytes, name), other, until)
      return String(shown.message_id)
    } catch (error) {
      if (!isNoPicture(error)) throw error
    }
  }
  const sent = await api.sendDocument(chat, new InputFile(bytes, name), other, until)
  return String(sent.message_id)
}
