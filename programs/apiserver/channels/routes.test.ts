import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Bus, ensureStreams } from '#core/bus'
import { findPairing, storePairing } from '#core/channels'
import { type ClawInstance, clawInstances } from '#core/kinds'
import { startNats, type TestNats } from '../../../test/support/nats.ts'
import { openApiDocument } from '../openapi/document.ts'
import { routesAlone } from '../openapi/text.ts'
import { DocumentClient } from '../testing/client.test-support.ts'
import { type Served, startServed } from '../testing/served.test-support.ts'

let nats: TestNats
let controller: Bus
let served: Served
let red: DocumentClient
let looker: DocumentClient
let blue: DocumentClient

beforeAll(async () => {
  nats = await startNats()
  controller = await nats.connect({ kind: 'controller' })
  await ensureStreams(controller)
  const bus = await nats.connect({ kind: 'apiserver' })
  served = await startServed({ bus: () => bus })
  const document = openApiDocument(routesAlone()) as object
  const client = async (namespace: string, name: string, verbs: string[]) =>
    new DocumentClient(document, served.base, await served.account(namespace, name, verbs))
  red = await client('red', 'red', ['*'])
  looker = await client('red', 'looker', ['get', 'list'])
  blue = await client('blue', 'blue', ['*'])
})
afterAll(async () => {
  for (const client of [red, looker, blue]) client?.close()
  await served?.close()
  await nats?.close()
})

const at = { name: 'bot', namespace: 'red' }
beforeEach(async () => {
  const channels = ['chat', 'work'].map((name) => ({ name, type: 'telegram', secretRef: { name } }))
  await served.cluster.admin.patch(clawInstances, at, { spec: { channels } })
})

let last = 0
const codeFor = async (id: string) => {
  const code = `ABCDEFG${(last++ % 8) + 2}`
  await storePairing(controller, code, {
    ...{ namespace: 'red', instance: 'bot', channel: 'chat' },
    sender: { id, name: 'Ada' },
  })
  return code
}
const allowed = async () => {
  const { spec } = await served.cluster.admin.get<ClawInstance>(clawInstances, at)
  return spec.channels?.map(({ access }) => access.allow ?? [])
}
const params = { ns: 'red' }

test('a code lets its stranger in, at that channel alone, and once', async () => {
  const code = await codeFor('U1')
  const answer = await red.call('pairChannel', { params, body: { code: ` ${code.toLowerCase()} ` } })
  expect(answer.json).toEqual({ instance: 'bot', channel: 'chat', sender: { id: 'U1', name: 'Ada' } })
  expect(await allowed()).toEqual([['U1'], []])
  const again = await red.call('pairChannel', { params, body: { code } })
  expect(again.json).toMatchObject({ status: 404, code: 'not_found' })
})

test('who may not change the instance lets nobody in, and learns nothing of codes', async () => {
  const code = await codeFor('U1')
  for (const said of [code, 'ZZZZZZZZ']) {
    const answer = await looker.call('pairChannel', { params, body: { code: said } })
    expect(answer.json).toMatchObject({ status: 403, code: 'forbidden' })
  }
  expect((await blue.call('pairChannel', { params, body: { code } })).json.code).toBe('forbidden')
  expect((await blue.call('pairChannel', { params: { ns: 'blue' }, body: { code } })).json.code).toBe('not_found')
  expect(await allowed()).toEqual([[], []])
})

test('a code of another channel or instance than is named is not used up', async () => {
  const code = await codeFor('U2')
  for (const body of [
    { code, channel: 'work' },
    { code, instance: 'other' },
  ]) {
    expect((await red.call('pairChannel', { params, body })).json.code).toBe('not_found')
  }
  const answer = await red.call('pairChannel', { params, body: { code, instance: 'bot', channel: 'chat' } })
  expect(answer.status).toBe(200)
})

test('strangers who are let in at the same time are all let in', async () => {
  const codes = await Promise.all(['A', 'B', 'C', 'D'].map(codeFor))
  const answers = await Promise.all(codes.map((code) => red.call('pairChannel', { params, body: { code } })))
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200])
  expect((await allowed())?.[0]?.toSorted()).toEqual(['A', 'B', 'C', 'D'])
})

test('a code that is over lets nobody in, and is told apart from no other that is not known', async () => {
  const code = await codeFor('U3')
  const api = async (request: string, body: object = {}) =>
    (await controller.request(`$JS.API.STREAM.${request}.KV_pairing`, JSON.stringify(body))).json<{ config: object }>()
  const { config } = await api('INFO')
  // Ten minutes go by.
  await api('UPDATE', { ...config, max_age: 100_000_000, duplicate_window: 100_000_000 })
  try {
    await expect.poll(() => findPairing(controller, 'red', code), { timeout: 20_000 }).toBeUndefined()
  } finally {
    await api('UPDATE', config)
  }
  for (const said of [code, 'ZZZZZZZZ']) {
    const answer = await red.call('pairChannel', { params, body: { code: said } })
    expect(answer.json).toMatchObject({ status: 404, detail: 'this code is not known, or no longer', field: 'code' })
  }
  expect(await allowed()).toEqual([[], []])
})
