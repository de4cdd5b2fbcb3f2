import type { AddressInfo } from 'node:net'
import { describe, expect, test } from 'vitest'
import {
  called,
  delivered,
  inbox,
  now,
  patient,
  request,
  server,
  service,
  signed,
  storing,
  useWhatsApp,
  whatsapp,
  words,
} from './connected.test-support.ts'
import { WhatsApp } from './service.ts'
import { variables } from './settings.ts'

useWhatsApp()

test('the settings name what is empty or of no use', () => {
  const paths = (more: object) =>
    variables.safeParse({ ...whatsapp.env, ...more }).error?.issues.map(({ path }) => path.join())
  expect(paths({})).toBeUndefined()
  const keys = ['WHATSAPP_ACCESS_TOKEN', 'WHATSAPP_PHONE_NUMBER_ID', 'WHATSAPP_APP_SECRET', 'WHATSAPP_VERIFY_TOKEN']
  for (const key of [...keys, 'WHATSAPP_TEMPLATE']) expect(new Set(paths({ [key]: '' })), key).toEqual(new Set([key]))
  expect(paths({ WHATSAPP_PHONE_NUMBER_ID: '1234567/../me' })).toEqual(['WHATSAPP_PHONE_NUMBER_ID'])
  expect(paths({ WHATSAPP_TEMPLATE: 'come_back' })).toEqual(['WHATSAPP_TEMPLATE'])
  expect(paths({ WHATSAPP_TEMPLATE: 'come_back:en' })).toBeUndefined()
})

describe('the webhook', () => {
  test('answers the challenge of who knows the verify token, and nobody else', async () => {
    const service = new WhatsApp(variables.parse(whatsapp.env))
    const get = async (query: Record<string, string>) => {
      const url = new URL(`http://channel/webhook?${new URLSearchParams(query)}`)
      return await service.webhook({ method: 'GET', url, headers: new Headers(), body: Buffer.alloc(0) })
    }
    const good = { 'hub.mode': 'subscribe', 'hub.verify_token': whatsapp.secrets.verify, 'hub.challenge': '115820' }
    expect(await get(good)).toEqual({ status: 200, body: '115820' })
    expect(await get({ ...good, 'hub.verify_token': 'other-token' })).toEqual({ status: 403 })
    expect(await get({ ...good, 'hub.verify_token': '' })).toEqual({ status: 403 })
    expect(await get({ ...good, 'hub.mode': 'unsubscribe' })).toEqual({ status: 403 })
    expect(await get({ ...good, 'hub.challenge': '<script>' })).toEqual({ status: 403 })
    expect(await get({})).toEqual({ status: 403 })
  })

  test('takes nothing that Meta has not signed as it stands', async () => {
    await called()
    const body = JSON.stringify(whatsapp.wrap({ messages: [] }))
    const good = whatsapp.sign(body)
    const status = async (headers: Record<string, string>, sent = body) =>
      (await service.webhook(request(sent, headers))).status
    expect(await status(good)).toBe(200)
    expect(await status({})).toBe(401)
    expect(await status({ 'x-hub-signature-256': good['x-hub-signature-256'].toUpperCase() })).toBe(401)
    expect(await status({ 'x-hub-signature-256': `${good['x-hub-signature-256']}0` })).toBe(401)
    expect(await status({ 'x-hub-signature': good['x-hub-signature-256'] })).toBe(401)
    expect(await status(good, `${body} `)).toBe(401)
    expect(await status(whatsapp.sign('{'), '{')).toBe(400)
    expect((await service.webhook({ ...signed(body), method: 'PUT' })).status).toBe(405)
  })

  test('tells Meta that a message was taken once it is stored, and no sooner', async () => {
    await called()
    storing(async () => {
      throw new Error('no bus')
    })
    whatsapp.say(whatsapp.person(), 'hold on')
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(whatsapp.pending()).toBe(1)
    storing(async () => {})
    await expect.poll(() => inbox.map((one) => one.text), patient).toEqual(['hold on'])
    await delivered()
  })

  test('takes messages while the API does not answer', async () => {
    await called()
    whatsapp.refuse(2, { status: 503 })
    const body = JSON.stringify(
      whatsapp.wrap({ messages: [{ id: 'wamid.1', from: '49151', ...now(), ...words('hello') }] }),
    )
    expect(await service.webhook(signed(body))).toEqual({ status: 200 })
    expect(inbox).toMatchObject([{ sender: { id: '49151', name: '49151' } }])
  })

  test('takes as much at once as Meta sends, and leaves with Meta what it could not keep', async () => {
    await called()
    const said = (id: string) => ({ id, from: '49151', ...now(), ...words('x'.repeat(65_000)) })
    const large = (at: number) =>
      JSON.stringify(whatsapp.wrap({ messages: Array.from({ length: 47 }, (_, n) => said(`${at}-${n}`)) }))
    expect(large(0).length).toBeGreaterThan(3_000_000)
    if (!server) throw new Error('no server')
    const { port } = server.address() as AddressInfo
    const call = async (at: number) => {
      const init = { method: 'POST', body: large(at), headers: whatsapp.sign(large(at)) }
      return (await fetch(`http://127.0.0.1:${port}/webhook`, init)).status
    }
    expect(await call(0)).toBe(200)
    expect(inbox).toHaveLength(47)
    const bus = Promise.withResolvers<void>()
    storing(() => bus.promise)
    const taken = Array.from({ length: 5 }, (_, at) => service.webhook(signed(large(at + 1))))
    expect(await service.webhook(signed(large(6)))).toEqual({ status: 503 })
    bus.resolve()
    expect((await Promise.all(taken)).map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
    expect((await service.webhook(signed(large(6)))).status).toBe(200)
  })
})
