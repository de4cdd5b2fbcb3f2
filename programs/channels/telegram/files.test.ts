import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Message, startTelegram } from '../../../test/services/telegram.ts'
import { carriesFiles, type FileStandIn } from '../files.test-support.ts'
import { ServiceError } from '../frame/index.ts'
import { Telegram } from './service.ts'

async function standIn(): Promise<FileStandIn> {
  const telegram = await startTelegram()
  const user = telegram.user('Ada')
  const chat = telegram.direct(user)
  const ids: string[] = []
  return {
    env: { TELEGRAM_BOT_TOKEN: telegram.token, TELEGRAM_API_URL: telegram.url },
    chat: () => String(chat.id),
    attach(_, caption, { name, type, bytes, told }) {
      const document = telegram.files.keep(name, type, bytes, told === undefined ? {} : { told })
      ids.push(document.file_id)
      telegram.say(user, chat, '', { more: { document, caption } })
    },
    forgetFiles() {
      for (const id of ids) telegram.files.forget(id)
    },
    shown: () => telegram.said(chat).flatMap(({ text }) => text ?? []),
    files: () => telegram.said(chat).flatMap((message) => fileOf(message)),
    swallowAnswer: () => telegram.swallowAnswer(),
    outage: (on) => telegram.outage(on),
    close: () => telegram.close(),
  }
  function fileOf({ document, photo }: Message): { name: string; bytes: Buffer }[] {
    const [kept] = [document ?? (photo as object[] | undefined)?.at(-1)].flat() as {
      file_id: string
      file_name?: string
    }[]
    const bytes = kept && telegram.files.bytes(kept.file_id)
    return bytes ? [{ name: kept.file_name ?? '', bytes }] : []
  }
}

describe('Telegram', () => {
  carriesFiles({ program: join(import.meta.dirname, 'main.ts'), standIn })
})

describe('a file of Telegram', () => {
  const signal = new AbortController().signal
  const options = { key: 'k', replyTo: undefined, signal }

  async function talking() {
    const telegram = await startTelegram()
    const user = telegram.user('Ada')
    const chat = telegram.direct(user)
    const service = new Telegram({ TELEGRAM_BOT_TOKEN: telegram.token, TELEGRAM_API_URL: telegram.url })
    return { telegram, service, chat, place: { chat: String(chat.id) } }
  }

  test('that is too big for a bot is refused by its size, and one that is nowhere as gone', async () => {
    const { telegram, service } = await talking()
    const { file_id: id } = telegram.files.keep('big.mp4', 'video/mp4', Buffer.alloc(1), { told: 21 * 1024 * 1024 })
    await expect(service.download(id, { signal })).rejects.toMatchObject({ refusal: 'never', reason: 'FileTooBig' })
    await expect(service.download('nothing', { signal })).rejects.toMatchObject({ refusal: 'never' })
    await telegram.close()
  })

  test('is shown as a picture where it is one, and as a file where Telegram says otherwise', async () => {
    const { telegram, service, chat, place } = await talking()
    const png = Buffer.from('89504e470d0a1a0a00', 'hex')
    await service.sendFile(place, { name: 'a.png', type: 'image/png', bytes: png }, options)
    await service.sendFile(place, { name: 'b.png', type: 'image/png', bytes: Buffer.from('no picture') }, options)
    const said = telegram.said(chat)
    expect(said[0]).toHaveProperty('photo')
    expect(said[1]).toMatchObject({ document: { file_name: 'b.png' } })
    await telegram.close()
  })

  test('stands in its topic and refers to what it answers, and an empty one is refused', async () => {
    const { telegram, service } = await talking()
    const group = telegram.group('Team')
    const thread = telegram.topic(group)
    const asked = telegram.say(telegram.user('Bob'), group, 'the report?', { thread })
    const place = { chat: String(group.id), thread: String(thread) }
    const file = { name: 'a.txt', type: 'text/plain', bytes: Buffer.from('a') }
    await service.sendFile(place, file, { ...options, replyTo: String(asked.message_id) })
    expect(telegram.said(group)[0]).toMatchObject({
      message_thread_id: thread,
      reply_to_message: { message_id: asked.message_id },
    })
    const refused = await service.sendFile(place, { ...file, bytes: Buffer.alloc(0) }, options).catch((e: unknown) => e)
    expect(refused).toBeInstanceOf(ServiceError)
    expect(refused).toMatchObject({ refusal: 'never' })
    await telegram.close()
  })

  test('is asked for at the address that is set, and no word of the token is in what fails', async () => {
    const { telegram, service } = await talking()
    const { file_id: id } = telegram.files.keep('a.txt', 'text/plain', Buffer.from('a'))
    await telegram.close()
    const failed = await service.download(id, { signal }).catch((e: unknown) => e)
    expect(String(failed) + String((failed as Error).cause)).not.toContain(telegram.token)
  })
})
