import { describe, expect, test } from 'vitest'
import {
  called,
  delivered,
  inbox,
  malformed,
  now,
  patient,
  post,
  service,
  signed,
  useWhatsApp,
  whatsapp,
  words,
} from './connected.test-support.ts'

useWhatsApp()

describe('what is heard', () => {
  test('comes from who has an id that stays, also where the number shows', async () => {
    await called()
    const [ada, bea] = [whatsapp.person({ name: 'Ada' }), whatsapp.person({ name: 'Bea', hidden: true })]
    const { id } = whatsapp.say(ada, 'hello')
    whatsapp.say(bea, '/new over')
    await expect.poll(() => inbox.length, patient).toBe(2)
    expect(inbox).toMatchObject([
      { id, message: id, sender: { id: ada.userId, name: 'Ada' }, chat: { id: ada.userId, kind: 'direct' } },
      { sender: { id: bea.userId, name: 'Bea', kind: 'person' }, mentioned: true, mayCommand: true },
    ])
  })

  test('is a word, a button, a place or a file, and nothing else', async () => {
    await called()
    const ada = whatsapp.person()
    const say = (more: object) => whatsapp.say(ada, '', { text: undefined, ...more })
    const image = { id: whatsapp.file(Buffer.alloc(1234)), mime_type: 'image/jpeg', caption: 'look' }
    say({ type: 'image', image })
    say({ type: 'document', document: { id: '../me', filename: 'a.pdf', mime_type: 'application/pdf' } })
    say({ type: 'interactive', interactive: { type: 'list_reply', list_reply: { id: '1', title: 'Tuesday' } } })
    say({ type: 'button', button: { text: 'Yes', payload: 'x' } })
    say({ type: 'location', location: { latitude: 52.5, longitude: 13.4, name: 'Here' } })
    whatsapp.say(ada, 'passed on', { context: { forwarded: true } })
    whatsapp.say(ada, 'old', { timestamp: '1600000000' })
    await delivered()
    expect(inbox.map(({ text, attachments, mayCommand }) => [text, attachments, mayCommand])).toEqual([
      ['look', [{ name: 'image', mimeType: 'image/jpeg', size: 1234, ref: image.id }], true],
      ['', [{ name: 'a.pdf', mimeType: 'application/pdf', size: 0 }], true],
      ['Tuesday', [], true],
      ['Yes', [], true],
      ['Location: Here, 52.5, 13.4', [], true],
      ['passed on', [], false],
    ])
    expect(whatsapp.calls.map(({ path }) => path).filter((path) => path.includes('me'))).not.toContain('/me')
  })

  test('is no edit, deletion, reaction or news, whatever words they bring, and counts none of them as broken', async () => {
    await called()
    const ada = whatsapp.person()
    const { id } = whatsapp.say(ada, 'said first')
    const news = (type: string, more: object = {}) =>
      whatsapp.say(ada, '', { text: { body: '/stop' }, caption: '/stop', context: { id }, type, ...more })
    news('edit', { edit: { original_message_id: id, message: { type: 'text', text: { body: '/stop' } } } })
    news('revoke', { revoke: { original_message_id: id } })
    news('reaction', { reaction: { message_id: id, emoji: '👍' } })
    news('reaction', { reaction: { message_id: id } })
    news('system', { system: { body: '/stop', type: 'user_changed_user_id', user_id: 'DE.2' } })
    news('unsupported', { errors: [{ code: 131051, title: 'Message type unknown' }], unsupported: { type: 'poll' } })
    news('unknown', { errors: [{ code: 131051, title: 'Unsupported message type' }] })
    news('order', { order: { catalog_id: '1', text: '/stop', product_items: [] } })
    news('contacts', { contacts: [{ name: { formatted_name: '/stop' } }] })
    news('request_welcome')
    news('interactive', { interactive: { type: 'nfm_reply', nfm_reply: { body: '/stop', response_json: '{}' } } })
    news('of tomorrow', { 'of tomorrow': { body: '/stop' } })
    whatsapp.say(ada, 'said last')
    await delivered()
    expect(inbox.map((one) => one.text)).toEqual(['said first', 'said last'])
    expect(malformed).toBe(0)
  })

  test('is the word of who answers, and nothing of what is answered', async () => {
    await called()
    const ada = whatsapp.person()
    const context = { from: ada.phone, id: 'wamid.before', text: { body: '/stop' }, quoted_message: '/stop' }
    whatsapp.say(ada, 'what is this?', { context })
    whatsapp.say(ada, '/help', { context: { ...context, frequently_forwarded: true } })
    await delivered()
    expect(inbox.map(({ text, mayCommand }) => [text, mayCommand])).toEqual([
      ['what is this?', true],
      ['/help', false],
    ])
  })

  test('is for the bot in a group where it is named or answered', async () => {
    await called()
    const [ada, group] = [whatsapp.person(), whatsapp.group()]
    whatsapp.say(ada, 'among us', { group })
    whatsapp.say(ada, `@${whatsapp.ids.own} and you?`, { group })
    whatsapp.say(ada, 'so be it', { group, context: { from: whatsapp.ids.own, id: 'wamid.1' } })
    await delivered()
    expect(inbox.map(({ text, mentioned, chat }) => [text, mentioned, chat.kind])).toEqual([
      ['among us', false, 'group'],
      ['and you?', true, 'group'],
      ['so be it', true, 'group'],
    ])
    expect(await post(group)).toMatch(/^wamid/)
  })

  test('is for this number, and what has no form spoils nothing beside it', async () => {
    await called()
    const said = (id: string) => ({ id, from: '49151', ...now(), ...words(id) })
    const take = async (payload: object) => (await service.webhook(signed(JSON.stringify(payload)))).status
    expect(await take(whatsapp.wrap({ messages: [said('other')] }, '999999'))).toBe(200)
    expect(await take(whatsapp.wrap({ messages: [said('one'), { id: 7 }, said('two')], contacts: [1] }))).toBe(200)
    expect(inbox.map((one) => one.text)).toEqual(['one', 'two'])
    expect(malformed).toBe(2)
  })
})
