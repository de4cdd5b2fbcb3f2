/**
 * What may go wrong between people and their agents, one thing after the other. Whatever breaks: each message is answered
 * once, in the order of its conversation, in its own chat. Only where nobody heard that the service had accepted a message,
 * and there is no key by which that message would be known again, something is said twice; that is counted here, and
 * docs/channels.md says how often.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Bot, countsBy, DrillGround, none, wayNames } from './support/drills.ts'

let ground: DrillGround
const long = { timeout: 400_000 }

beforeAll(async () => {
  ground = await DrillGround.start()
}, 300_000)
afterAll(async () => {
  console.info(ground?.summary())
  await ground?.close()
})

/** Nothing of the process runs when this resolves. */
async function standStill(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP')
  const states = () =>
    readdirSync(`/proc/${pid}/task`).map((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8').replace(/^.*\) (\w) .*$/s, '$1'),
    )
  await expect.poll(() => states().every((state) => state === 'T'), { timeout: 60_000, interval: 5 }).toBe(true)
}

const each = (act: (bot: Bot) => unknown, of: readonly Bot[] = ground.bots) => Promise.all(of.map(act))
const idempotent = (of: readonly Bot[]) => of.filter(({ service }) => service.idempotent).map(({ name }) => name)
/** One message said twice at each of these services that has no key for it. */
const onceAt = (of: readonly Bot[]) =>
  countsBy((service) => (of.some(({ name }) => name === service) && !idempotent(of).includes(service) ? 1 : 0))

test('the service is away, and then what stands before it answers in its place', long, async () => {
  await ground.drill('outage', async () => {
    await each(({ service }) => service.faults.refuseConnections(true))
    await sleep(3_000)
    await each(({ service }) => service.faults.refuseConnections(false))
    for (const status of [500, 503, 0]) {
      await each(({ service }) => service.faults.answerWith(status))
      await sleep(1_000)
    }
  })
  expect(ground.counted.outage).toEqual(none)
})

test('the service refuses all that is said for some seconds, and names when to come again', long, async () => {
  await ground.drill('429', async () => {
    await each(({ service }) => service.flood(10_000))
    await sleep(4_000)
    await each(({ service }) => service.flood(0))
  })
  expect(ground.counted['429']).toEqual(none)
  expect(ground.bots.map(({ service }) => service.impatientCalls())).toEqual(ground.bots.map(() => 0))
})

test('connections break in the midst of replies', long, async () => {
  await ground.drill(
    'disconnect',
    async () => {
      await each(({ service }) => service.faults.cut(2, service.posts, { performed: false }))
      await sleep(2_000)
      await each(({ service }) => service.faults.cut(2, service.edits, { performed: true }))
      await each(({ service }) => service.drop())
      await sleep(1_500)
    },
    { slow: 0.7 },
  )
  expect(ground.counted.disconnect).toEqual(none)
})

test('all that was ever said is delivered again, backwards', long, async () => {
  await ground.drill('repeated', async () => {
    await each(({ service }) => service.repeatBackwards())
    await sleep(1_500)
    await each(({ service }) => service.repeatBackwards())
  })
  expect(ground.counted.repeated).toEqual(none)
})

test('messages of a chat arrive at once, and in the wrong order', long, async () => {
  await ground.drill('out of order', async () => {
    for (const count of [2, 3]) {
      await each(async (bot) => {
        // Read when all of it is there: how busy the machine is decides nothing.
        const pid = await ground.channelPid(bot)
        await standStill(pid)
        try {
          await Promise.all(bot.people.map((person) => person.writeAtOnce(count)))
          // What stands before the channel passes it on.
          await sleep(1_000)
        } finally {
          process.kill(pid, 'SIGCONT')
        }
      })
      await sleep(1_000)
    }
  })
  expect(ground.counted['out of order']).toEqual(none)
})

test.each(['nats', 'controller', 'apiserver', 'gateway'])('%s is killed', long, async (program) => {
  await ground.drill(program, async () => {
    await ground.kill9(program)
    await sleep(2_000)
  })
  expect(ground.counted[program]).toEqual(none)
})

test('a channel is killed after it has received and before the bus has taken it', long, async () => {
  const mine = ground.of('north')
  await ground.drill('killed before the bus has it', async () => {
    // What stands still takes nothing, and what is killed then never will: not what lies in its sockets either.
    const bus = await ground.pid('nats')
    await standStill(bus)
    try {
      await each(({ people }) => people[0]?.write(), mine)
      await each(async (bot) => {
        await expect.poll(() => bot.service.delivered(), { timeout: 60_000, interval: 20 }).toBe(true)
        await ground.hasRead(bot)
        await ground.killChannel(bot)
        expect(bot.service.untaken(), bot.name).toBe(true)
      }, mine)
    } finally {
      process.kill(bus, 'SIGKILL')
    }
  })
  expect(ground.counted['killed before the bus has it']).toEqual(none)
})

test('a channel is killed after the service has accepted an answer and before it says so', long, async () => {
  const mine = ground.of('north')
  await ground.drill(
    'killed before it hears of an answer',
    async () => {
      await each(async (bot) => {
        await bot.service.swallowAnswer()
        await ground.killChannel(bot)
      }, mine)
    },
    { slow: 0 },
  )
  expect(ground.counted['killed before it hears of an answer']).toEqual(onceAt(mine))
})

test(
  'a channel is killed after the service has accepted the beginning of an answer and before it says so',
  long,
  async () => {
    // Where nothing can be edited nothing is shown before the answer.
    const mine = ground.of('south').filter(({ service }) => service.type !== 'whatsapp')
    await ground.drill(
      'killed before it hears of a beginning',
      async () => {
        await each(async (bot) => {
          await bot.service.swallowAnswer()
          await ground.killChannel(bot)
        }, mine)
      },
      { slow: 1 },
    )
    expect(ground.counted['killed before it hears of a beginning']).toEqual(onceAt(mine))
  },
)

test('the connection breaks after the service has accepted an answer and before it says so', long, async () => {
  const mine = ground.of('south')
  await ground.drill(
    'connection lost before it hears of an answer',
    async () => {
      await each(async ({ service }) => {
        await service.swallowAnswer()
        await service.faults.refuseConnections(true)
        await service.faults.refuseConnections(false)
      }, mine)
    },
    { slow: 0 },
  )
  expect(ground.counted['connection lost before it hears of an answer']).toEqual(onceAt(mine))
})

test('what was said twice in a drill is all that ever was', () => {
  const all = Object.values(ground.counted)
  expect(ground.twice()).toEqual(countsBy((name) => all.reduce((sum, counts) => sum + counts[name], 0)))
  expect(Object.keys(ground.twice())).toEqual(wayNames)
})
