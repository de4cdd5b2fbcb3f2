/** People at a stand-in of WhatsApp, and an agent at the other end: a whole platform between them. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startWhatsApp, type WhatsAppService } from './services/whatsapp.ts'
import { type ChatPlatform, startChatPlatform } from './support/chat-platform.ts'
import { notes, shorten, shortened } from './support/shorten.ts'

const words = Array.from({ length: 60 }, (_, at) => `word${at}`).join(' ')
const steps = [
  { when: { user: '*slowly*' }, reply: { text: `# Slowly\n\n${words}`, delayMs: 100 } },
  ...shorten,
  { reply: { text: 'You **wrote**: `{{user}}`' } },
]

let platform: ChatPlatform
let whatsapp: WhatsAppService
const patient = { timeout: 60_000, interval: 100 }

beforeAll(async () => {
  whatsapp = await startWhatsApp()
  platform = await startChatPlatform(steps, [
    { name: 'phone', type: 'whatsapp', secret: { ...whatsapp.env, WHATSAPP_TEMPLATE: 'come_back:en_US' } },
  ])
  expect(await whatsapp.callAt(await platform.webhook('phone'))).toBe(true)
}, 300_000)
afterAll(async () => {
  await platform?.close()
  await whatsapp?.close()
})

const state = () => platform.state('phone')
const said = (chat: string) => whatsapp.said(chat).map(({ text }) => text)

test('an answer comes whole, after a sign that it is on its way', async () => {
  const ada = whatsapp.person()
  const { id } = whatsapp.say(ada, 'Tell me slowly')
  await expect.poll(() => said(ada.chat), patient).toEqual([`*Slowly*\n\n${words}`])
  expect(whatsapp.read).toContainEqual({ message: id, chat: ada.chat, typing: true })
})

test('who shows no number is answered, and what became of a file is said', async () => {
  const bea = whatsapp.person({ hidden: true })
  const image = { id: whatsapp.file(Buffer.alloc(1234)), mime_type: 'image/jpeg', caption: 'look' }
  whatsapp.say(bea, '', { type: 'image', image, text: undefined })
  // It is no image, whatever is said of it.
  await expect.poll(() => said(bea.chat).join(), patient).toContain('look')
  await expect.poll(() => said(bea.chat).join(), patient).toMatch(/image.*image\/jpeg, 1234 bytes/)
})

test('a file that is sent lies in the workspace, and one that the agent hands over follows its answer', async () => {
  const cem = whatsapp.person()
  const id = whatsapp.file(notes, { type: 'text/plain' })
  const document = { id, mime_type: 'text/plain', filename: 'notes.txt', caption: 'shorten this' }
  whatsapp.say(cem, '', { type: 'document', document, text: undefined })
  await expect.poll(() => said(cem.chat), patient).toContain('Here it is.')
  const handed = () => whatsapp.said(cem.chat).flatMap(({ file }) => (file ? [[file.name, file.bytes.toString()]] : []))
  await expect.poll(handed, patient).toEqual(shortened)
})

test('a token that is refused shows in the status, and one that is taken again too', async () => {
  whatsapp.refuse(190, { status: 401 })
  whatsapp.say(whatsapp.person(), 'anybody?')
  await expect.poll(state, patient).toBe('Error WrongToken')
  whatsapp.refuse(0)
  await expect.poll(state, { ...patient, timeout: 150_000 }).toBe('Connected Connected')
}, 240_000)
