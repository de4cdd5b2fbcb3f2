/**
 * A whole platform on which channels are drilled: all four services at once, and two tenants whose people, chats, instances
 * and channels have the same names. People write numbered messages while things break; then their answers are looked at.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, vi } from 'vitest'
import type { ClawInstance } from '#core/kinds'
import { type Drilled, type ServiceName, services } from './drilled.ts'
import { allowAll } from './objects.ts'
import { Person, script, type Talk } from './party.ts'
import { startTestPlatform, type TestPlatform } from './platform.ts'
import { type PodObject, pidOf, platformPod, programOf } from './pods.ts'

/** The tenants, and how many people each has at each service. */
const tenants = { north: 2, south: 1 } as const
export type Tenant = keyof typeof tenants
export const serviceNames = Object.keys(services) as ServiceName[]
/** How often something was said twice, by service. */
export type Counts = Record<ServiceName, number>
export const none: Counts = countsBy(() => 0)

/** One channel, and the people at its other end. */
export interface Bot {
  tenant: Tenant
  name: ServiceName
  service: Drilled
  people: Person[]
}

export interface DrillOptions extends Partial<Talk> {
  /** How long all may take to be answered in the end, milliseconds. */
  timeout?: number
}

const selector = (name: string) => `k8sclaw.io/instance=helper,k8sclaw.io/channel=${name}`
const interval = 250

/** What all that follows asks chance for, and what is told so that it can be asked the same again. */
export const seed = Number(process.env.K8SCLAW_DRILL_SEED ?? Math.floor(Math.random() * 2 ** 31))

export class DrillGround {
  readonly #platform: TestPlatform
  readonly #random = randomFrom(seed)
  readonly bots: readonly Bot[]
  /** By drill. */
  readonly counted: Record<string, Counts> = {}

  private constructor(platform: TestPlatform, bots: readonly Bot[]) {
    this.#platform = platform
    this.bots = bots
  }

  static async start(): Promise<DrillGround> {
    const bots: Bot[] = []
    for (const [tenant, count] of Object.entries(tenants) as [Tenant, number][]) {
      for (const name of serviceNames) {
        const service = await services[name](count)
        const people = Array.from({ length: count }, (_, n) => new Person(service, n, `${tenant[0]}${name[0]}`))
        bots.push({ tenant, name, service, people })
      }
    }
    const ground = new DrillGround(await startTestPlatform(), bots)
    try {
      await ground.#connect()
    } catch (error) {
      await ground.close()
      throw error
    }
    return ground
  }

  of(tenant: Tenant): Bot[] {
    return this.bots.filter((bot) => bot.tenant === tenant)
  }

  /** From 0 to 1. */
  random(): number {
    return this.#random()
  }

  /** People write before, while and after something breaks; then all that they wrote is answered, once and in order. */
  async drill(
    name: string,
    breaks: () => Promise<void>,
    { slow = 0.3, most = 10, timeout = 240_000 }: DrillOptions = {},
  ) {
    const before = this.twice()
    const silence = new AbortController()
    const talking = this.#people.map((person) => person.talk(silence.signal, () => this.random(), { slow, most }))
    try {
      await sleep(1_000)
      await breaks()
    } finally {
      silence.abort()
      await Promise.all(talking)
    }
    await this.#allAnswered(timeout)
    const after = this.twice()
    this.counted[name] = countsBy((service) => after[service] - before[service])
  }

  /** How often anything was said twice until now. */
  twice(): Counts {
    return countsBy((name) =>
      this.bots
        .filter((bot) => bot.name === name)
        .flatMap((bot) => bot.people)
        .reduce((sum, person) => sum + person.account().twice, 0),
    )
  }

  /** The process of a program of the platform. */
  async pid(program: string): Promise<number> {
    return programOf(this.#platform, await platformPod(this.#platform, `k8sclaw-${program}`), program)
  }

  async kill9(program: string): Promise<void> {
    process.kill(await this.pid(program), 'SIGKILL')
  }

  async killChannel({ tenant, name }: Pick<Bot, 'tenant' | 'name'>): Promise<void> {
    const { items } = await this.#platform.getJson<{ items: PodObject[] }>(
      ...['get', 'pods', '-n', tenant, '-l', selector(name)],
    )
    const pid = items[0] && pidOf(this.#platform, items[0], 'channel')
    if (!pid) throw new Error(`no process of ${tenant}/${name}`)
    process.kill(pid, 'SIGKILL')
  }

  /** One line for whoever reads the log: what was tried, and what was said twice. */
  summary(): string {
    const written = this.#people.reduce((sum, person) => sum + person.written, 0)
    const twice = Object.entries(this.counted).map(
      ([name, counts]) => `${name}: ${serviceNames.map((service) => `${service} ${counts[service]}`).join(', ')}`,
    )
    return [`drills of channels, seed ${seed}: ${written} messages; said twice`, ...twice].join('\n  ')
  }

  async close(): Promise<void> {
    await this.#platform.close()
    await Promise.all(this.bots.map(({ service }) => service.close()))
  }

  get #people(): Person[] {
    return this.bots.flatMap(({ people }) => people)
  }

  async #connect(): Promise<void> {
    for (const tenant of Object.keys(tenants) as Tenant[])
      await this.#platform.apply(...objectsOf(tenant, this.of(tenant)))
    for (const { tenant, name, service } of this.bots) {
      const connected = async () => expect(await this.#state(tenant, name)).toBe('Connected')
      await vi.waitFor(connected, { timeout: 120_000, interval })
      await service.callAt?.(`http://${await this.#address(tenant, name)}:8080/webhook`)
    }
  }

  async #allAnswered(timeout: number): Promise<void> {
    const left = () =>
      this.bots.flatMap(({ tenant, name, people }) =>
        people.flatMap((person) => {
          const { lost, notices } = person.account()
          return lost.length === 0 ? [] : [{ tenant, name, lost, notices }]
        }),
      )
    await expect.poll(left, { timeout, interval }).toEqual([])
    for (const person of this.#people) {
      const { answered, foreign } = person.account()
      expect(foreign, 'what others have written').toEqual([])
      expect(answered, 'in order, and no message in two answers').toEqual(
        Array.from({ length: person.written }, (_, at) => at + 1),
      )
    }
  }

  async #state(namespace: Tenant, name: string): Promise<string | undefined> {
    const { status } = await this.#platform.getJson<ClawInstance>('get', 'clawinstance', 'helper', '-n', namespace)
    return status?.channels?.find((channel) => channel.name === name)?.state
  }

  /** Where an Ingress would send what the service calls. */
  async #address(namespace: Tenant, name: string): Promise<string | undefined> {
    const { items } = await this.#platform.getJson<{ items: { spec: { clusterIP?: string } }[] }>(
      ...['get', 'services', '-n', namespace, '-l', selector(name)],
    )
    return items[0]?.spec.clusterIP
  }
}

export function countsBy(count: (name: ServiceName) => number): Counts {
  return Object.fromEntries(serviceNames.map((name) => [name, count(name)])) as Counts
}

function objectsOf(namespace: Tenant, bots: readonly Bot[]): object[] {
  const secret = (name: string, stringData: object) => ({
    ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, stringData },
  })
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    allowAll(namespace),
    secret('script', { script }),
    ...bots.map(({ name, service }) => secret(name, service.secret)),
    {
      ...{ apiVersion: 'k8sclaw.io/v1alpha1', kind: 'ClawInstance', metadata: { name: 'helper', namespace } },
      spec: {
        agents: { default: { model: { provider: 'demo', name: 'demo' }, timeout: '120s' } },
        authRefs: [{ provider: 'demo', secretRef: { name: 'script' } }],
        maxConcurrentRuns: 10,
        channels: bots.map(({ name }) => ({ name, type: name, secretRef: { name }, access: { mode: 'open' } })),
      },
    },
  ]
}

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
