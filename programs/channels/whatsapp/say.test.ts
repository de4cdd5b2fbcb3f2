import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, test } from 'vitest'
import {
  called,
  connect,
  delivered,
  healths,
  inbox,
  options,
  patient,
  post,
  remembered,
  service,
  text,
  useWhatsApp,
  whatsapp,
} from './connected.test-support.ts'
import { toServiceError } from './refusals.ts'
import { WhatsApp } from './service.ts'
import { variables } from './settings.ts'

useWhatsApp()

describe('what is said', () => {
  test('answers a message, shows no page, and marks as read what was heard last', async () => {
    await called()
    const ada = whatsapp.person()
    await service.typing({ chat: ada.chat }, options())
    whatsapp.say(ada, 'question')
    const { id } = whatsapp.say(ada, 'and another')
    await expect.poll(() => inbox.length, patient).toBe(2)
    await service.typing({ chat: ada.chat }, options())
    expect(whatsapp.read).toEqual([{ message: id, chat: ada.chat, typing: true }])
    await service.post({ chat: ada.chat }, text, options({ replyTo: id }))
    await service.post({ chat: ada.chat }, text, options({ plain: true }))
    expect(whatsapp.said(ada.chat)).toMatchObject([{ text: 'a *b*', replyTo: id }, { text: 'a b' }])
    expect(whatsapp.calls.at(-1)?.given).toMatchObject({ text: { preview_url: false } })
    await delivered()
    expect(inbox, "that it was delivered and read is nobody's word").toHaveLength(2)
  })

  test('after 24 hours is one template, whether Meta says so at once or later', async () => {
    await called({ WHATSAPP_TEMPLATE: 'come_back:en_US' })
    const [ada, bea] = [whatsapp.person(), whatsapp.person({ hidden: true })]
    for (const { chat } of [ada, bea]) whatsapp.dayPasses(chat)
    expect(await post(ada.chat)).toMatch(/^wamid/)
    expect(await post(ada.chat)).toEqual(['never', 'WindowClosed', undefined])
    whatsapp.refuseLate(true)
    expect(await post(bea.chat)).toMatch(/^wamid/)
    expect(await post(bea.chat)).toMatch(/^wamid/)
    await delivered()
    for (const { chat } of [ada, bea]) expect(whatsapp.said(chat)).toMatchObject([{ template: 'come_back:en_US' }])
    remembered.set(`template/${ada.chat}`, [new Date(Date.now() - 25 * 60 * 60_000).toISOString()])
    whatsapp.refuseLate(false)
    await post(ada.chat)
    expect(whatsapp.said(ada.chat)).toHaveLength(2)
  })

  test('and was not, for the 24 hours or another reason, shows in the status', async () => {
    await called()
    const ada = whatsapp.person()
    whatsapp.dayPasses(ada.chat)
    expect(await post(ada.chat)).toEqual(['never', 'WindowClosed', undefined])
    expect(healths.at(-1)).toBe('Connected WindowClosed')
    void whatsapp.put({ statuses: [{ id: 'wamid.1', status: 'failed', errors: [{ code: 131042, title: 'Payment' }] }] })
    await delivered()
    expect(healths.at(-1)).toBe('Error PaymentMissing')
    whatsapp.leave(ada.chat)
    expect(await post(ada.chat)).toEqual(['never', 'Undeliverable', undefined])
    expect(await post('49000000')).toEqual(['never', 'Undeliverable', undefined])
    expect(await post(whatsapp.person().chat, { text: 'x'.repeat(4097), plain: '' })).toEqual([
      'never',
      'InvalidParameter',
      undefined,
    ])
  })

  test('with a template that there is not is given up, and the status says so', async () => {
    await called({ WHATSAPP_TEMPLATE: 'no_such:de' })
    const ada = whatsapp.person()
    whatsapp.dayPasses(ada.chat)
    expect(await post(ada.chat)).toEqual(['never', 'WindowClosed', undefined])
    expect(healths).toContain('Connected TemplateRefused')
  })

  test('waits where a person was told much at once, and as long as Meta says', async () => {
    await called()
    const ada = whatsapp.person()
    for (let n = 0; n < 45; n++) expect(await post(ada.chat)).toMatch(/^wamid/)
    expect(await post(ada.chat)).toEqual(['later', 'RateLimited', 6000])
    whatsapp.refuse(80007, { minutes: 7 })
    expect(await post(ada.chat)).toEqual(['later', 'RateLimited', 420_000])
  })

  test('is refused in words that are told apart', () => {
    const meanings = [
      [{ code: 190 }, 'token', 'WrongToken'],
      [{ code: 190, subcode: 463 }, 'token', 'Expired'],
      [{ code: 190, subcode: 460 }, 'token', 'Revoked'],
      [{ code: 10 }, 'token', 'MissingPermission'],
      [{ code: 200, status: 403 }, 'token', 'MissingPermission'],
      [{ code: 100, subcode: 33 }, 'token', 'WrongNumberId'],
      [{ code: 100 }, 'never', 'InvalidParameter'],
      [{ code: 131031 }, 'token', 'AccountRestricted'],
      [{ code: 130429 }, 'later', 'RateLimited'],
      [{ code: 131048 }, 'later', 'RateLimited'],
      [{ code: 131000, status: 500 }, 'later', 'Outage'],
      [{ code: 132015 }, 'never', 'TemplateRefused'],
      [{ code: 999999, status: 401 }, 'token', 'WrongToken'],
      [{ code: 999999, status: 429 }, 'later', 'RateLimited'],
      [{ code: 999999, status: 502 }, 'later', 'Outage'],
      [{ code: 999999 }, 'never', 'Refused'],
    ] as const
    for (const [refused, refusal, reason] of meanings)
      expect(toServiceError({ ...refused, message: 'no' }), JSON.stringify(refused)).toMatchObject({ refusal, reason })
  })

  test('has no word of what was said or of the token in what failed', async () => {
    const proxy = createServer((_, response) => response.end('<html>')).listen(0)
    const { port } = proxy.address() as AddressInfo
    const at = { ...whatsapp.env, WHATSAPP_API_URL: `http://127.0.0.1:${port}` }
    const service = new WhatsApp(variables.parse(at))
    const fail = () => service.post({ chat: '49151' }, { text: 'secret', plain: 'secret' }, options()).catch((e) => e)
    expect(await fail()).toMatchObject({ refusal: 'later', reason: 'Outage' })
    await new Promise((resolve) => proxy.close(resolve))
    const failed = await fail()
    expect(String(failed)).toMatch(/WhatsApp does not answer/)
    expect(JSON.stringify(failed) + String(failed.stack)).not.toMatch(/secret|EAAJB/)
  })
})

test('a refused token and a number that is not there end the connection; too many questions do not', async () => {
  whatsapp.refuse(190, { status: 401, error_subcode: 463 })
  await expect(connect()).rejects.toMatchObject({ refusal: 'token', reason: 'Expired' })
  whatsapp.refuse(0)
  await expect(connect({ WHATSAPP_PHONE_NUMBER_ID: '12345' })).rejects.toMatchObject({ reason: 'WrongNumberId' })
  whatsapp.refuse(80007, { minutes: 7 })
  void connect()
  await expect.poll(() => healths, patient).toEqual(['Connected RateLimited'])
})
