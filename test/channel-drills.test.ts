/**
 * What may go wrong between people and their agents, tried on a whole platform with all four services at once and two
 * tenants whose people, chats, instances and channels have the same names. People write numbered messages throughout.
 * Whatever breaks then: each message is answered once, in the order of its conversation, in its own chat. Where a service
 * has no key by which it would know a repeated message, and only where nobody heard that it had accepted one, something
 * is said twice; that is counted, and docs/channels.md says how often.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { ClawInstance } from '#core/kinds'
import { type Drilled, type ServiceName, services } from './support/drilled.ts'
import { allowAll } from './support/objects.ts'
import { Person, script } from './support/party.ts'
import { startTestPlatform, type TestPlatform } from './support/platform.ts'
import { type PodObject, pidOf, platformPod, programOf } from './support/pods.ts'

const tenants = { north: 2, south: 1 } as const
type Tenant = keyof typeof tenants
const names = Object.keys(services) as ServiceName[]
const seed = Number(process.env.K8SCLAW_DRILL_SEED ?? Math.floor(Math.random() * 2 ** 31))
const patient = { timeout: 150_000, interval: 250 }
const long = { timeout: 240_000 }

interface Bot {
  tenant: Tenant
  name: ServiceName
  service: Drilled
  people: Person[]
}

let platform: TestPlatform
const bots: Bot[] = []
const people = () => bots.flatMap((bot) => bot.people)
const botsOf = (tenant: Tenant) => bots.filter((bot) => bot.tenant === tenant)
const counted: Record<string, Record<string, number>> = {}

beforeAll(async () => {
  for (const [tenant, count] of Object.entries(tenants) as [Tenant, number][]) {
    for (const name of names) {
      const service = await services[name](count)
      const tag = `${tenant[0]}${name[0]}`
      const persons = Array.from({ length: count }, (_, n) => new Person(service, n, tag))
      bots.push({ tenant, name, service, people: persons })
    }
  }
  platform = await startTestPlatform()
  for (const tenant of Object.keys(tenants) as Tenant[]) await platform.apply(...objectsOf(tenant))
  for (const { tenant, name, service } of bots) {
    await vi.waitFor(async () => expect(await state(tenant, name)).toBe('Connected'), patient)
    await service.callAt?.(`http://${await address(tenant, name)}:8080/webhook`)
  }
}, 240_000)

afterAll(async () => {
  await platform?.close()
  await Promise.all(bots.map(({ service }) => service.close()))
  const { messages, answers } = bots.reduce(
    (sum, { people: all }) => ({
      messages: sum.messages + all.reduce((written, person) => written + person.written, 0),
      answers: sum.answers + all.reduce((said, person) => said + person.account().answered.length, 0),
    }),
    { messages: 0, answers: 0 },
  )
  console.info(`drills: seed ${seed}, ${messages} messages written, ${answers} answered; said twice:`, counted)
})

function objectsOf(namespace: Tenant): object[] {
  const model = { provider: 'demo', name: 'demo' }
  const secrets = botsOf(namespace).map(({ name, service }) => ({
    ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace } },
    stringData: service.secret,
  }))
  const channels = names.map((name) => ({ name, type: name, secretRef: { name }, access: { mode: 'open' } }))
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    allowAll(namespace),
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'script', namespace }, stringData: { script } },
    ...secrets,
    {
      ...{ apiVersion: 'k8sclaw.io/v1alpha1', kind: 'ClawInstance', metadata: { name: 'helper', namespace } },
      spec: {
        agents: { default: { model, timeout: '120s' } },
        authRefs: [{ provider: 'demo', secretRef: { name: 'script' } }],
        maxConcurrentRuns: 10,
        channels,
      },
    },
  ]
}

async function state(namespace: Tenant, name: string): Promise<string | undefined> {
  const { status } = await platform.getJson<ClawInstance>('get', 'clawinstance', 'helper', '-n', namespace)
  return status?.channels?.find((channel) => channel.name === name)?.state
}

const selector = (name: string) => `k8sclaw.io/instance=helper,k8sclaw.io/channel=${name}`

/** Where an Ingress would send what the service calls. */
async function address(namespace: Tenant, name: string): Promise<string | undefined> {
  const { items } = await platform.getJson<{ items: { spec: { clusterIP?: string } }[] }>(
    ...['get', 'services', '-n', namespace, '-l', selector(name)],
  )
  return items[0]?.spec.clusterIP
}

async function killChannel(namespace: Tenant, name: string): Promise<void> {
  const { items } = await platform.getJson<{ items: PodObject[] }>(
    ...['get', 'pods', '-n', namespace, '-l', selector(name)],
  )
  const pid = items[0] && pidOf(platform, items[0], 'channel')
  if (!pid) throw new Error(`no process of ${namespace}/${name}`)
  process.kill(pid, 'SIGKILL')
}

async function processOf(program: string): Promise<number> {
  return programOf(platform, await platformPod(platform, `k8sclaw-${program}`), program)
}

const kill9 = async (program: string) => process.kill(await processOf(program), 'SIGKILL')

/** People write before, while and after something breaks; then all that they wrote is answered, once and in order. */
async function drill(name: string, breaks: () => Promise<void>): Promise<void> {
  const before = twiceBy()
  const silence = new AbortController()
  const random = randomFrom(seed)
  const talking = people().map((person) => person.talk(silence.signal, random))
  await sleep(1_000)
  await breaks()
  silence.abort()
  await Promise.all(talking)
  await allAnswered()
  const after = twiceBy()
  counted[name] = Object.fromEntries(names.map((service) => [service, (after[service] ?? 0) - (before[service] ?? 0)]))
}

async function allAnswered(): Promise<void> {
  const left = () =>
    bots.flatMap(({ tenant, name, people: all }) =>
      all.flatMap((person) => {
        const { lost, notices } = person.account()
        return lost.length === 0 ? [] : [{ tenant, name, lost, notices }]
      }),
    )
  await expect.poll(left, patient).toEqual([])
  for (const person of people()) {
    const { answered, foreign } = person.account()
    expect(foreign).toEqual([])
    expect(answered).toEqual(answered.toSorted((a, b) => a - b))
    expect(new Set(answered).size, 'no message is part of two turns').toBe(answered.length)
  }
}

function twiceBy(): Record<string, number> {
  const sum = (all: Person[]) => all.reduce((total, person) => total + person.account().twice, 0)
  return Object.fromEntries(
    names.map((name) => [name, sum(bots.filter((bot) => bot.name === name).flatMap((bot) => bot.people))]),
  )
}

const never = Object.fromEntries(names.map((name) => [name, 0]))

/** Mulberry32: the same numbers from the same seed. */
function randomFrom(start: number): () => number {
  let state = start
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const each = (act: (bot: Bot) => unknown, of: Bot[] = bots) => Promise.all(of.map(act))

test('the service is away, and then what stands before it answers in its place', long, async () => {
  await drill('outage', async () => {
    await each(({ service }) => service.faults.refuseConnections(true))
    await sleep(3_000)
    await each(({ service }) => service.faults.refuseConnections(false))
    for (const status of [500, 503]) {
      await each(({ service }) => service.faults.answerWith(status))
      await sleep(1_000)
    }
    await each(({ service }) => service.faults.answerWith(0))
  })
  expect(counted.outage).toEqual(never)
})

test('the service refuses all that is said for some seconds, and names when to come again', long, async () => {
  await drill('429', async () => {
    await each(({ service }) => service.flood(10_000))
    await sleep(4_000)
    await each(({ service }) => service.flood(0))
  })
  expect(counted['429']).toEqual(never)
  for (const { service } of bots) expect(service.impatientCalls()).toBe(0)
})

test('connections break in the midst of replies', long, async () => {
  await drill('disconnect', async () => {
    await each(({ people: all }) => all[0]?.write('slowly'))
    await each(({ service }) => service.faults.cut(2, service.posts, { performed: false }))
    await sleep(2_000)
    await each(({ service }) => service.faults.cut(2, service.edits, { performed: true }))
    await each(({ service }) => service.drop())
    await sleep(1_500)
  })
  expect(counted.disconnect).toEqual(never)
})

test('all that was ever said is delivered again, backwards', long, async () => {
  await drill('repeated', async () => {
    await each(({ service }) => service.repeatBackwards())
    await sleep(1_500)
    await each(({ service }) => service.repeatBackwards())
  })
  expect(counted.repeated).toEqual(never)
})

test('the bus is killed', long, async () => {
  await drill('bus', async () => {
    await kill9('nats')
    await sleep(2_000)
  })
  expect(counted.bus).toEqual(never)
})

test('the controller is killed', long, async () => {
  await drill('controller', async () => {
    await kill9('controller')
    await sleep(2_000)
  })
  expect(counted.controller).toEqual(never)
})

test('the API server and the gateway are killed', long, async () => {
  await drill('apiserver and gateway', async () => {
    await Promise.all([kill9('apiserver'), kill9('gateway')])
    await sleep(2_000)
  })
  expect(counted['apiserver and gateway']).toEqual(never)
})

test('a channel is killed after it has received and before the bus has taken it', long, async () => {
  const mine = botsOf('north')
  await drill('killed before publish', async () => {
    const bus = await processOf('nats')
    process.kill(bus, 'SIGSTOP')
    try {
      await each(({ people: all }) => all[0]?.write(), mine)
      await each(({ service }) => expect.poll(() => service.delivered(), patient).toBe(true), mine)
      await sleep(300)
      await each(({ tenant, name }) => killChannel(tenant, name), mine)
    } finally {
      process.kill(bus, 'SIGCONT')
    }
  })
  expect(counted['killed before publish']).toEqual(never)
})

test('a channel is killed after the service has accepted an answer and before it says so', long, async () => {
  const mine = botsOf('north')
  await drill('killed before ack', async () => {
    await each(async ({ tenant, name, service }) => {
      await service.swallowAnswer()
      await killChannel(tenant, name)
    }, mine)
  })
  const expected = Object.fromEntries(mine.map(({ name, service }) => [name, service.idempotent ? 0 : 1]))
  expect(counted['killed before ack']).toEqual(expected)
})

test('what was said twice in a drill is all that ever was', async () => {
  const all = Object.values(counted)
  const total = Object.fromEntries(names.map((name) => [name, all.reduce((sum, twice) => sum + (twice[name] ?? 0), 0)]))
  expect(twiceBy()).toEqual(total)
})
