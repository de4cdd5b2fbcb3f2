/**
 * A whole platform on which channels are drilled: all four services at once, in each way in which they deliver, and two tenants whose people, chats, instances
 * and channels have the same names. People write numbered messages while things break; then their answers are looked at.
 */
import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, vi } from 'vitest'
import type { ClawInstance } from '#core/kinds'
import { type Drilled, type Way, ways } from './drilled.ts'
import { allowAll } from './objects.ts'
import { Person, script, type Talk } from './party.ts'
import { startTestPlatform, type TestPlatform } from './platform.ts'
import { type PodObject, pidOf, platformPod, programOf } from './pods.ts'

/** The tenants, and how many people each has at each service. */
const tenants = { north: 2, south: 1 } as const
export type Tenant = keyof typeof tenants
export const wayNames = Object.keys(ways) as Way[]
/** How often something was said twice, by service and way. */
export type Counts = Record<Way, number>
export const none: Counts = countsBy(() => 0)

/** One channel, and the people at its other end. */
export interface Bot {
  tenant: Tenant
  name: Way
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
      for (const [at, name] of wayNames.entries()) {
        const service = await ways[name](count)
        const tag = `${tenant[0]}${'abcdef'[at]}`
        const people = Array.from({ length: count }, (_, n) => new Person(service, n, tag))
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
    setMaxListeners(0, silence.signal)
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
    const pod = await this.#pod(tenant, name)
    const pid = pidOf(this.#platform, pod, 'channel')
    if (!pid) throw new Error(`no process of ${tenant}/${name}`)
    process.kill(pid, 'SIGKILL')
  }

  /** The process of the channel's program. */
  async channelPid({ tenant, name }: Pick<Bot, 'tenant' | 'name'>): Promise<number> {
    return programOf(this.#platform, await this.#pod(tenant, name), 'channel')
  }

  /**
   * Resolves when a channel has read all that was with it by now: who answers a call that came later, twice, has been at
   * every connection in between.
   */
  async hasRead({ tenant, name }: Pick<Bot, 'tenant' | 'name'>): Promise<void> {
    const { status } = await this.#pod(tenant, name)
    for (let calls = 0; calls < 2; calls++) {
      const { ok } = await fetch(`http://${status?.podIP}:8080/healthz`, { headers: { connection: 'close' } })
      expect(ok).toBe(true)
    }
  }

  async #pod(tenant: Tenant, name: Way): Promise<PodObject> {
    const { items } = await this.#platform.getJson<{ items: PodObject[] }>(
      ...['get', 'pods', '-n', tenant, '-l', selector(name)],
    )
    const [pod] = items
    if (!pod) throw new Error(`no pod of ${tenant}/${name}`)
    return pod
  }

  /** One line for whoever reads the log: what was tried, and what was said twice. */
  summary(): string {
    const written = this.#people.reduce((sum, person) => sum + person.written, 0)
    const twice = Object.entries(this.counted).map(
      ([name, counts]) => `${name}: ${wayNames.map((way) => `${way} ${counts[way]}`).join(', ')}`,
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
      const url = `http://${await this.#address(tenant, name)}:8080/webhook`
      // A Service leads to a pod once that is ready, which may be after it is connected.
      const called = async () => expect(await service.callAt?.(url), `${tenant}/${name} is called`).not.toBe(false)
      await vi.waitFor(called, { timeout: 60_000, interval })
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
    for (const { tenant, name, people } of this.bots) {
      for (const person of people) {
        const { answered, foreign } = person.account()
        expect(foreign, `${tenant}/${name}: what others have written`).toEqual([])
        expect(answered, `${tenant}/${name}: in order, and no message in two answers`).toEqual(
          Array.from({ length: person.written }, (_, at) => at + 1),
        )
      }
    }
  }

  async #state(namespace: Tenant, name: Way): Promise<string | undefined> {
    const { status } = await this.#platform.getJson<ClawInstance>('get', 'clawinstance', 'helper', '-n', namespace)
    return status?.channels?.find((channel) => channel.name === name)?.state
  }

  /** Where an Ingress would send what the service calls. */
  async #address(namespace: Tenant, name: Way): Promise<string | undefined> {
    const { items } = await this.#platform.getJson<{ items: { spec: { clusterIP?: string } }[] }>(
      ...['get', 'services', '-n', namespace, '-l', selector(name)],
    )
    return items[0]?.spec.clusterIP
  }
}

export function countsBy(count: (name: Way) => number): Counts {
  return Object.fromEntries(wayNames.map((name) => [name, count(name)])) as Counts
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
        channels: bots.map(({ name, service }) => ({
          name,
          type: service.type,
          secretRef: { name },
          access: { mode: 'open' },
        })),
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
