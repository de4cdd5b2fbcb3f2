/**
 * 200 conversations at once, at two services, with no more than eight runs at a time: each message is answered once, in the
 * order of its conversation and in its own chat, however long it has to wait. `K8SCLAW_CONVERSATIONS` makes it more or fewer.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { ClawInstance } from '#core/kinds'
import { type Drilled, services } from './support/drilled.ts'
import { allowAll, instance } from './support/objects.ts'
import { Person } from './support/party.ts'
import { startTestPlatform, type TestPlatform } from './support/platform.ts'

const conversations = Number(process.env.K8SCLAW_CONVERSATIONS ?? 200)
const names = ['telegram', 'slack'] as const

/** Answers with what it was asked, and costs little beyond its pod: hundreds of them share two cores. */
const agent = `
import json, os, time
while not os.path.exists('/ipc/input/task.json'):
    time.sleep(0.05)
with open('/ipc/input/task.json') as file:
    task = json.load(file)['task']
with open('/ipc/output/result.tmp', 'w') as file:
    json.dump({'status': 'success', 'response': 'That was: %s Done.' % task}, file)
os.rename('/ipc/output/result.tmp', '/ipc/output/result.json')
`

let platform: TestPlatform
const bots: { name: (typeof names)[number]; service: Drilled; people: Person[] }[] = []

beforeAll(async () => {
  for (const name of names) {
    const count = Math.ceil(conversations / names.length)
    const service = await services[name](count)
    bots.push({ name, service, people: Array.from({ length: count }, (_, n) => new Person(service, n, `x${name[0]}`)) })
  }
  platform = await startTestPlatform()
  const secrets = bots.map(({ name, service }) => ({
    ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'default' }, stringData: service.secret },
  }))
  const channels = names.map((name) => ({ name, type: name, secretRef: { name }, access: { mode: 'open' } }))
  // No run ends of its time, however busy the machine is.
  const program = { image: 'k8sclaw.io/host', command: ['/usr/bin/python3', '-c', agent] }
  const cheap = { ...program, sandbox: { enabled: false }, timeout: '15m' }
  await platform.apply(allowAll(), ...secrets, instance('helper', cheap, { maxConcurrentRuns: 8, channels }))
  const connected = async () => {
    const { status } = await platform.getJson<ClawInstance>('get', 'clawinstance', 'helper')
    expect(status?.channels?.map(({ state }) => state)).toEqual(names.map(() => 'Connected'))
  }
  await vi.waitFor(connected, { timeout: 90_000, interval: 250 })
})
afterAll(async () => {
  await platform?.close()
  await Promise.all(bots.map(({ service }) => service.close()))
})

test('every conversation has its answers in its own chat, once and in order', { timeout: 900_000 }, async () => {
  const people = bots.flatMap((bot) => bot.people)
  for (const person of people) {
    person.write()
    person.write()
  }
  // Later than what belongs together may come: another turn, which waits for the first one's run.
  await sleep(4_000)
  for (const person of people.filter((_, at) => at % 5 === 0)) {
    person.write()
    person.write()
  }
  const lost = () => people.reduce((sum, person) => sum + person.account().lost.length, 0)
  await expect.poll(lost, { timeout: 850_000, interval: 1_000 }).toBe(0)
  for (const person of people) {
    const { answered, twice, foreign, notices } = person.account()
    const written = Array.from({ length: person.written }, (_, at) => at + 1)
    expect({ answered, twice, foreign }).toEqual({ answered: written, twice: 0, foreign: [] })
    // Who had to wait was told so, once for each of their turns, and of nothing else.
    for (const notice of notices) expect(notice).toMatch(/^This has to wait/)
    expect(notices.length).toBeLessThanOrEqual(person.written / 2)
  }
})
