/** People at a stand-in of WhatsApp, and an agent at the other end: a whole platform between them. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { stringify } from 'yaml'
import type { ClawInstance } from '#core/kinds'
import { startWhatsApp, type WhatsAppService } from './services/whatsapp.ts'
import { allowAll, demoScript, instance } from './support/objects.ts'
import { startTestPlatform, type TestPlatform } from './support/platform.ts'
import type { PodObject } from './support/pods.ts'
import { notes, shorten, shortened } from './support/shorten.ts'

const words = Array.from({ length: 60 }, (_, at) => `word${at}`).join(' ')
const script = stringify({
  steps: [
    { when: { user: '*slowly*' }, reply: { text: `# Slowly\n\n${words}`, delayMs: 100 } },
    ...shorten,
    { reply: { text: 'You **wrote**: `{{user}}`' } },
  ],
})

let platform: TestPlatform
let whatsapp: WhatsAppService
const patient = { timeout: 60_000, interval: 100 }

beforeAll(async () => {
  whatsapp = await startWhatsApp()
  platform = await startTestPlatform()
  const { secret, authRefs } = demoScript('talks', script)
  const channels = [{ name: 'phone', type: 'whatsapp', secretRef: { name: 'bot' }, access: { mode: 'open' } }]
  const stringData = { ...whatsapp.env, WHATSAPP_TEMPLATE: 'come_back:en_US' }
  const bot = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'bot', namespace: 'default' }, stringData }
  await platform.apply(allowAll(), secret, bot, instance('helper', {}, { authRefs, channels }))
  await vi.waitFor(async () => expect(await state()).toBe('Connected Connected'), patient)
  expect(await whatsapp.callAt(`http://${await address()}/webhook`)).toBe(true)
})
afterAll(async () => {
  await platform?.close()
  await whatsapp?.close()
})

const state = async () => {
  const { status } = await platform.getJson<ClawInstance>('get', 'clawinstance', 'helper')
  const [channel] = status?.channels ?? []
  return channel && `${channel.state} ${channel.reason}`
}
/** Where an Ingress would send what Meta calls. */
const address = async () => {
  const selector = 'k8sclaw.io/instance=helper,k8sclaw.io/channel=phone'
  const { items } = await platform.getJson<{ items: PodObject[] }>('get', 'pods', '-l', selector)
  return `${items[0]?.status?.podIP}:8080`
}
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
  // There is no workspace to put it into.
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
