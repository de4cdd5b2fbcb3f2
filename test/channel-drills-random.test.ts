/**
 * The drills of channels for as long as somebody wants, with faults at moments that chance chooses, several at once:
 * `K8SCLAW_DRILL_MINUTES=10`, and `K8SCLAW_DRILL_SEED` to choose the same faults again. What is the machine's remains its
 * own: the same seed gives the same faults in the same order, not the same moments.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Bot, countsBy, DrillGround } from './support/drills.ts'

const minutes = Number(process.env.K8SCLAW_DRILL_MINUTES ?? 0)
const programs = ['nats', 'controller', 'webhook', 'apiserver', 'gateway'] as const
/** At most so many faults of a kind that Kubernetes answers with a back-off which doubles. */
const maxKills = 3

describe.runIf(minutes > 0)(`${minutes} minutes of faults`, () => {
  let ground: DrillGround
  /** By program or channel. */
  const kills = new Map<string, number>()

  beforeAll(async () => {
    ground = await DrillGround.start()
  }, 300_000)
  afterAll(async () => {
    console.info(ground?.summary())
    await ground?.close()
  })

  const pick = <T>(from: readonly T[]): T => {
    const found = from[Math.floor(ground.random() * from.length)]
    if (found === undefined) throw new Error('nothing to choose from')
    return found
  }
  const mayKill = (what: string) => {
    const count = (kills.get(what) ?? 0) + 1
    if (count <= maxKills) kills.set(what, count)
    return count <= maxKills
  }
  const channelOf = ({ tenant, name }: Bot) => `${tenant}/${name}`

  /** Each ends when what it broke is whole again. */
  const faults: Record<string, (forMs: number) => Promise<unknown>> = {
    async refused(forMs) {
      const { service } = pick(ground.bots)
      await service.faults.refuseConnections(true)
      await sleep(forMs)
      await service.faults.refuseConnections(false)
    },
    async answered(forMs) {
      const { service } = pick(ground.bots)
      service.faults.answerWith(pick([500, 502, 503, 504]))
      await sleep(forMs)
      service.faults.answerWith(0)
    },
    async flooded(forMs) {
      const { service } = pick(ground.bots)
      service.flood(10_000)
      await sleep(forMs)
      service.flood(0)
    },
    async cut() {
      const { service } = pick(ground.bots)
      service.faults.cut(2, pick([service.posts, service.edits]), { performed: false })
    },
    dropped: async () => pick(ground.bots).service.drop(),
    repeated: async () => pick(ground.bots).service.repeatBackwards(),
    async stopped(forMs) {
      const pid = await ground.pid(pick(['nats', 'controller', 'gateway']))
      process.kill(pid, 'SIGSTOP')
      await sleep(forMs)
      process.kill(pid, 'SIGCONT')
    },
    async killed() {
      const program = pick(programs)
      if (mayKill(program)) await ground.kill9(program)
    },
    async 'killed channel'() {
      const bot = pick(ground.bots)
      if (mayKill(channelOf(bot))) await ground.killChannel(bot)
    },
  }

  test('each message is answered once and in order', { timeout: (minutes + 15) * 60_000 }, async () => {
    let breaks = 0
    const failed: unknown[] = []
    // What is to be killed may be on its way back from the last time.
    const ifItIsThere = (error: unknown) => {
      const { message } = error as Error
      if (!/no (?:process|pod) of|ESRCH|ENOENT/.test(message)) failed.push(message)
    }
    await ground.drill(
      'at random',
      async () => {
        const end = Date.now() + minutes * 60_000
        const running: Promise<unknown>[] = []
        while (Date.now() < end) {
          const fault = faults[pick(Object.keys(faults))]
          if (fault) running.push(fault(500 + ground.random() * 4_000).catch(ifItIsThere))
          breaks++
          await sleep(1_000 + ground.random() * 8_000)
        }
        await Promise.all(running)
        expect(failed).toEqual([])
      },
      { most: minutes * 20, timeout: 600_000 },
    )
    console.info(`${breaks} faults`)
    const twice = ground.twice()
    const killed = countsBy((name) =>
      ground.bots.reduce((sum, bot) => sum + (bot.name === name ? (kills.get(channelOf(bot)) ?? 0) : 0), 0),
    )
    for (const { name, service } of ground.bots)
      expect(twice[name], `${name}, killed ${killed[name]} times`).toBeLessThanOrEqual(
        service.idempotent ? 0 : killed[name],
      )
  })
})
