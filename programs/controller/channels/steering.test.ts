import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Received } from '#core/channels'
import type { AgentRun } from '#core/kinds'
import {
  connectChannel,
  createInstance,
  ends,
  killRouter,
  runsOf,
  saidTo,
  setPhase,
  startRouter,
  type TestChannel,
  untilRuns,
  useRouter,
  wait,
} from './rig.test-support.ts'
import { handedNext, type Steerable } from './steering.ts'
import { maxMessages, turnOf } from './turn.ts'

const anyWaiting = fc
  .array(fc.record({ anew: fc.boolean(), files: fc.boolean() }, { requiredKeys: ['anew', 'files'] }), { maxLength: 70 })
  .map((all) =>
    all.map(({ anew, files }, i): Steerable => {
      const attachments = files ? [{ name: 'f', mimeType: 'x/y', size: 1 }] : []
      return { message: { id: `m${i}`, attachments } as unknown as Received, text: 'x', sequence: i, anew }
    }),
  )
const idsOf = (some: readonly Steerable[]) => some.map(({ message }) => message.id)

describe('whatever waits', () => {
  it('is handed on in its order, with no gap, as words alone, and at most so much of it', () => {
    fc.assert(
      fc.property(anyWaiting, (waiting) => {
        const handed = handedNext(waiting, [])
        expect(idsOf(handed)).toEqual(idsOf(waiting.slice(0, handed.length)))
        expect(handed.some(({ anew, message }) => anew || message.attachments.length > 0)).toBe(false)
        expect(handed.length).toBeLessThanOrEqual(maxMessages)
        const next = waiting[handed.length]
        const mustWait = !next || next.anew || next.message.attachments.length > 0
        expect(mustWait || handed.length === maxMessages).toBe(true)
      }),
    )
  })

  it('is handed on once, however often that begins anew, and more of it only behind', () => {
    fc.assert(
      fc.property(anyWaiting, fc.nat({ max: 70 }), (waiting, many) => {
        const first = idsOf(handedNext(waiting.slice(0, many), []))
        const second = idsOf(handedNext(waiting, first))
        expect([...first, ...second]).toEqual(idsOf(handedNext(waiting, [])))
        expect(handedNext(waiting, [...first, ...second])).toEqual([])
      }),
    )
  })
})

useRouter()

/** A conversation with a run at work. */
async function atWork(settings: Parameters<typeof startRouter>[0] = {}): Promise<{ chat: TestChannel; run: AgentRun }> {
  await createInstance({}, undefined, { whileRunning: 'steer' })
  await startRouter(settings)
  const chat = await connectChannel()
  await chat.say('work')
  const [run] = await untilRuns(1)
  if (!run) throw new Error('there is no run')
  await setPhase(run, 'Running')
  return { chat, run }
}
const tasks = async () => (await runsOf()).map(({ spec }) => spec.task)

describe('a message that is said while a run is at work, where runs are steered', () => {
  it('is handed to the run, and is done with once the run took it', async () => {
    const { chat, run } = await atWork()
    await chat.say('faster')
    await chat.say('and better')
    await expect.poll(() => saidTo(run), wait).toEqual(['1 faster', '2 and better'])
    await chat.say('/status')
    const { name } = run.metadata
    await expect.poll(() => chat.told().at(-1), wait).toBe(`Run ${name} is at work. It was handed 2 more messages.`)
    await ends(run, { followups: 2 })
    await chat.say('next')
    const [, next] = await untilRuns(2)
    expect(next?.spec.task).toBe('next')
    expect(await runsOf()).toHaveLength(2)
  })

  it('becomes the next turn where the run ended before it took it', async () => {
    const { chat, run } = await atWork()
    await chat.say('taken')
    await chat.say('not taken')
    await expect.poll(() => saidTo(run), wait).toHaveLength(2)
    await ends(run, { followups: 1 })
    await untilRuns(2)
    expect(await tasks()).toEqual(['work', 'not taken'])
  })

  it('waits until the run is at work, and says in a group who speaks', async () => {
    await createInstance({}, undefined, { whileRunning: 'steer' })
    await startRouter()
    const chat = await connectChannel()
    const inGroup = { chat: { id: 'g', kind: 'group' as const } }
    await chat.say('work', inGroup)
    const [run] = await untilRuns(1)
    if (!run) return
    await chat.say('now', { ...inGroup, sender: { id: 'U2', name: 'Bob', kind: 'person' } })
    await chat.say('/status', inGroup)
    await expect.poll(() => chat.told('g').at(-1), wait).toMatch(/waits to begin. One message waits.$/)
    expect(await saidTo(run)).toEqual([])
    await setPhase(run, 'Running')
    await expect.poll(() => saidTo(run), wait).toEqual(['1 Bob: now'])
  })

  it('waits for a turn of its own with a file, or behind the wish to begin anew', async () => {
    const { chat, run } = await atWork()
    await chat.say('one')
    await chat.say('see', { attachments: [{ name: 'a.png', mimeType: 'image/png', size: 3 }] })
    await chat.say('/new')
    await chat.say('two')
    await expect.poll(() => chat.told().at(-1), wait).toMatch(/new conversation begins/)
    await expect.poll(() => saidTo(run), wait).toEqual(['1 one'])
    await ends(run, { followups: 1 })
    const [, second] = await untilRuns(2)
    if (!second) return
    expect(second.spec.task).toMatch(/^see\n/)
    await ends(second)
    const [, , third] = await untilRuns(3)
    expect(third?.spec).toMatchObject({ task: 'two' })
    expect(third?.spec.sessionKey).not.toBe(run.spec.sessionKey)
  })

  it('is forgotten with the run that is stopped', async () => {
    const { chat, run } = await atWork()
    await chat.say('more')
    await expect.poll(() => saidTo(run), wait).toEqual(['1 more'])
    await chat.say('/stop')
    const { name } = run.metadata
    await expect.poll(() => chat.told().at(-1), wait).toBe(`I am stopping run ${name}.`)
    await chat.say('something else')
    await ends(run, { phase: 'Cancelled', reason: 'Cancelled' })
    await untilRuns(2)
    expect(await tasks()).toEqual(['work', 'something else'])
  })
})

describe('a router that is killed', () => {
  it('after it wrote down that a message is handed over sends it once the next one is there', async () => {
    const killed = Promise.withResolvers<void>()
    const { chat, run } = await atWork({ onPatched: () => killRouter().then(killed.resolve) })
    await chat.say('faster')
    await killed.promise
    expect(await saidTo(run)).toEqual([])
    await startRouter()
    await expect.poll(() => saidTo(run), wait).toEqual(['1 faster'])
    await chat.say('better')
    await expect.poll(() => saidTo(run), wait).toEqual(['1 faster', '2 better'])
    await ends(run, { followups: 2 })
    await chat.say('next')
    await untilRuns(2)
    expect(await tasks()).toEqual(['work', 'next'])
  })

  it('while the run goes on neither loses nor doubles what it handed over, whatever the run took', async () => {
    const { chat, run } = await atWork()
    await chat.say('taken')
    await chat.say('not taken')
    await expect.poll(() => saidTo(run), wait).toHaveLength(2)
    await killRouter()
    await chat.say('said meanwhile')
    await ends(run, { followups: 1 })
    await startRouter({ quietMs: 500 })
    const [, next] = await untilRuns(2)
    if (!next) return
    expect(await tasks()).toEqual(['work', 'not taken\n\nsaid meanwhile'])
    expect(turnOf(next)?.messages).toHaveLength(2)
    await expect.poll(() => chat.told(), wait).toContain('done with work')
    await setPhase(next, 'Running')
    await ends(next)
    await chat.say('/status')
    await expect.poll(() => chat.told().at(-1), wait).toBe('Nothing is going on.')
    expect(await runsOf()).toHaveLength(2)
  })
})
