import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Person, startWhatsApp, type WhatsAppService } from '../../../test/services/whatsapp.ts'
import { freePort } from '../../../test/support/ports.ts'
import { carriesFiles, type FileStandIn } from '../files.test-support.ts'
import { kindOf } from './files.ts'
import { WhatsApp } from './service.ts'
import { variables } from './settings.ts'

async function standIn(): Promise<FileStandIn> {
  const whatsapp = await startWhatsApp()
  const ada = whatsapp.person()
  const listen = `127.0.0.1:${await freePort()}`
  whatsapp.callsAt(`http://${listen}/webhook`)
  return {
    env: { ...whatsapp.env, K8SCLAW_LISTEN: listen },
    chat: () => ada.chat,
    attach(_, caption, { name: filename, type, bytes, told = bytes.length }) {
      const document = { id: whatsapp.file(bytes, { type, told }), mime_type: type, filename, caption }
      whatsapp.say(ada, '', { type: 'document', document })
    },
    forgetFiles: () => whatsapp.forgetFiles(),
    shown: (chat) => whatsapp.said(chat).flatMap(({ text }) => text || []),
    files: (chat) => whatsapp.said(chat).flatMap(({ file }) => file ?? []),
    swallowAnswer: () => whatsapp.swallowAnswer(),
    outage: (on) => whatsapp.outage(on),
    close: () => whatsapp.close(),
  }
}

describe('WhatsApp', () => {
  carriesFiles({ program: join(import.meta.dirname, 'main.ts'), standIn })
})

describe('a file of WhatsApp', () => {
  const signal = new AbortController().signal
  const report = { name: 'report.pdf', type: 'application/pdf', bytes: Buffer.from('%PDF-1.7 report') }
  let whatsapp: WhatsAppService
  let service: WhatsApp
  let ada: Person
  beforeEach(async () => {
    whatsapp = await startWhatsApp()
    service = new WhatsApp(variables.parse(whatsapp.env))
    ada = whatsapp.person()
  })
  afterEach(() => whatsapp.close())
  const refused = (work: Promise<unknown>) => work.catch(({ refusal, reason }) => [refusal, reason])
  const open = async (id: string) => await new Response(await service.download(id, { signal })).text()
  const send = (file = report, key = 'k') =>
    service.sendFile({ chat: ada.chat }, file, { key, signal, replyTo: undefined })

  test('is opened with the token, at Meta alone', async () => {
    expect(await open(whatsapp.file(Buffer.from('a')))).toBe('a')
    const elsewhere = whatsapp.file(Buffer.from('a'), { elsewhere: 'https://example.org/a' })
    expect(await refused(open(elsewhere))).toEqual(['never', 'FileElsewhere'])
    expect(await refused(open('404')), 'not that there is no such number').toEqual(['never', 'FileGone'])
    expect(await refused(open('../1'))).toEqual(['never', 'FileGone'])
    whatsapp.refuse(190, { status: 401 })
    expect(await refused(open('1'))).toEqual(['token', 'WrongToken'])
  })

  test('is sent as what WhatsApp knows it for, and text of any kind as a document', async () => {
    for (const [name, type] of [
      ['a.png', 'image/png'],
      ['b.mp4', 'video/mp4'],
      ['c.mp3', 'audio/mpeg'],
      ['d.csv', 'text/csv'],
      ['e.json', 'application/json'],
    ] as const) {
      await send({ ...report, name, type }, name)
    }
    expect(whatsapp.said(ada.chat).map(({ file }) => file?.bytes.toString())).toEqual(
      new Array(5).fill('%PDF-1.7 report'),
    )
    const sent = whatsapp.calls.filter(({ path }) => path.endsWith('/messages')).map(({ given }) => given)
    expect(sent.map(({ type }) => type)).toEqual(['image', 'video', 'audio', 'document', 'document'])
    expect(sent[3]).toMatchObject({ document: { filename: 'd.csv' } })
  })

  test('of another kind, or too large, is given up without asking', async () => {
    const bytes = (size: number) => ({ length: size }) as Buffer
    const never = (type: string, size: number) => expect(() => kindOf({ type, bytes: bytes(size) }))
    never('application/zip', 1).toThrow(/takes no files of application\/zip/)
    never('image/gif', 1).toThrow(/takes no files/)
    never('image/png', 5 * 1024 * 1024 + 1).toThrow(/no image of that size/)
    never('audio/mpeg', 16 * 1024 * 1024 + 1).toThrow(/no audio of that size/)
    expect(await refused(send({ ...report, type: 'constructor' }))).toEqual(['never', 'FileTypeRefused'])
    expect(whatsapp.calls).toEqual([])
  })

  test('is uploaded once, however often it waits for its turn', async () => {
    whatsapp.flood(2)
    expect(await refused(send())).toEqual(['later', 'RateLimited'])
    expect(await refused(send())).toEqual(['later', 'RateLimited'])
    await send()
    expect(whatsapp.calls.map(({ path }) => path.split('/').at(-1))).toEqual([
      'media',
      'messages',
      'messages',
      'messages',
    ])
    expect(whatsapp.said(ada.chat)).toHaveLength(1)
  })
})
