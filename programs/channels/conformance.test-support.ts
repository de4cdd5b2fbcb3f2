/**
 * What every channel must do, run against the channel's own program as a process of its own, a real bus, and a stand-in
 * of its service over HTTP or WebSocket. The test plays the controller at the one end and people at the other.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Bus, ensureChannelConsumer, ensureStreams, publish } from '#core/bus'
import { lastHealth, publishSend, type Received, receivedMessages, type SendItem } from '#core/channels'
import { runSubjects } from '#core/identity'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import { channel, Rig } from './rig.test-support.ts'

/** A service as a test plays it. A chat is a direct one with one person, whom the stand-in makes up. */
export interface StandIn {
  /** The variables of the channel's program. */
  env: Record<string, string>
  /** The id that the n-th direct chat has on the bus, from 0. */
  chat(n: number): string
  /** The person writes; the service delivers it when it can. */
  say(chat: string, text: string): void
  /**
   * The person writes these one after the other; the service delivers them at once, the newest first where it may. Resolves
   * when all of it is on its way.
   */
  sayAtOnce(chat: string, texts: readonly string[]): Promise<void>
  /** The service doubts that it was heard, and delivers again all that was said. */
  sayAgain(): void
  /** What the bot's messages there say now, oldest first, without markup. */
  shown(chat: string): string[]
  /** Edits and signs of typing that were accepted there. */
  edits(chat: string): number
  typing(chat: string): number
  /** Whether the service was told that everything it delivered was taken. */
  allTaken(): boolean
  /** The next message that is posted is accepted, and the answer never arrives; resolves when it is accepted. */
  swallowAnswer(): Promise<void>
  /** Nothing is answered any more, or all is again. */
  outage(on: boolean): void
  /** The next calls that say something are refused for now. */
  flood(calls: number): void
  /** The next calls with markup are refused for it. */
  refuseMarkup(calls: number): void
  /** The bot's token is refused, or taken again. */
  refuseToken(on: boolean): void
  /** The chat will not be written to any more. */
  leave(chat: string): void
  /** Calls that came before the time that a refusal had named. */
  impatientCalls(): number
  close(): Promise<void>
}

export interface Conforming {
  /** The channel's main.ts. */
  program: string
  /** The variable with the bot's token, which an empty value is refused for. */
  token: string
  standIn: () => Promise<StandIn>
  /** Whether messages can be edited there; without, a reply is said and nothing shown before. */
  edits: boolean
  typing: boolean
  /** Whether the service tells a repeated message by its key. */
  idempotent: boolean
  /** What is too long for one message there. */
  tooLong: string
  /** How many conversations go on at once; 20 unless told, for services that allow few messages a second. */
  conversations?: number
}

const patient = { timeout: 45_000, interval: 25 }
const long = 120_000

/** Runs the suite; to be called in a test file. */
export function conforms(what: Conforming): void {
  const { program, token, standIn, edits, typing, idempotent, tooLong, conversations = 20 } = what
  let nats: TestNats
  let controller: Bus
  let service: StandIn
  let rig: Rig
  let stop: AbortController
  let inbox: Received[]

  beforeEach(async () => {
    nats = await startNats()
    controller = await nats.connect({ kind: 'controller' })
    await ensureStreams(controller)
    await ensureChannelConsumer(controller, channel)
    service = await standIn()
    rig = await Rig.make(nats, program, service.env)
    stop = new AbortController()
    inbox = []
    void read()
  })
  afterEach(async () => {
    stop.abort()
    await rig.close()
    await service.close()
    await nats.close()
  })

  async function read() {
    for await (const { value, message } of receivedMessages(controller, stop.signal)) {
      inbox.push(value)
      message.ack()
    }
  }
  let count = 0
  const place = (chat: string) => ({ id: `item-${++count}`, chat: { id: chat } })
  const run = (uid: string) => ({ uid, name: `run-${uid}` })
  const send = (item: SendItem) => publishSend(controller, channel, item)
  const notice = (chat: string, text: string) => send({ type: 'notice', ...place(chat), text })
  const reply = (chat: string, uid: string, text: string) =>
    send({ type: 'reply', ...place(chat), run: run(uid), phase: 'Succeeded', text })
  const heard = () => inbox.map(({ text }) => text)
  const state = async () => {
    const health = await lastHealth(controller, channel)
    return `${health?.state} ${health?.reason}`
  }
  const connected = () => expect.poll(state, patient).toMatch(/^Connected/)
  const shows = (chat: string) => expect.poll(() => service.shown(chat), patient)
  /** Everything that was sent is acknowledged. */
  const allSaid = async () => {
    const subject = `$JS.API.CONSUMER.INFO.CHANNEL_SEND.team_helper_chat-send`
    const info = async () => {
      const counts = (await controller.request(subject, '')).json<{ num_pending: number; num_ack_pending: number }>()
      return counts.num_pending + counts.num_ack_pending
    }
    await expect.poll(info, patient).toBe(0)
  }

  describe('receiving', { timeout: long }, () => {
    test('puts a message on the bus once, however often it is delivered, and tells the service then', async () => {
      await rig.start()
      await connected()
      const chat = service.chat(0)
      service.say(chat, 'one')
      service.say(chat, 'two')
      await expect.poll(heard, patient).toEqual(['one', 'two'])
      await expect.poll(() => service.allTaken(), patient).toBe(true)
      expect(inbox[0]).toMatchObject({
        chat: { id: chat, kind: 'direct' },
        sender: { kind: 'person' },
        mentioned: true,
        mayCommand: true,
      })
      service.sayAgain()
      service.say(chat, 'three')
      await expect.poll(heard, patient).toEqual(['one', 'two', 'three'])
    })

    test('puts what comes at once, and in the wrong order, into the order in which it was said', async () => {
      await rig.start()
      await connected()
      const [chat, other] = [service.chat(0), service.chat(1)]
      // Read when all of it is there: how busy the machine is decides nothing.
      rig.pause()
      await service.sayAtOnce(chat, ['one', 'two', 'three'])
      await service.sayAtOnce(other, ['four', 'five'])
      rig.resume()
      const heardIn = (where: string) => inbox.filter((one) => one.chat.id === where).map(({ text }) => text)
      await expect.poll(() => heardIn(chat), patient).toEqual(['one', 'two', 'three'])
      await expect.poll(() => heardIn(other), patient).toEqual(['four', 'five'])
      await expect.poll(() => service.allTaken(), patient).toBe(true)
    })

    test('loses nothing while the bus is down, also when it is killed before it could publish', async () => {
      await rig.start()
      await connected()
      const chat = service.chat(0)
      await nats.kill9()
      service.say(chat, 'into the dark')
      await new Promise((resolve) => setTimeout(resolve, 500))
      expect(service.allTaken()).toBe(false)
      await rig.kill9()
      await nats.restart()
      await rig.start()
      await expect.poll(heard, patient).toEqual(['into the dark'])
      await expect.poll(() => service.allTaken(), patient).toBe(true)
    })
  })

  describe('saying', { timeout: long }, () => {
    test('says what it is told in the order of the conversation, and remembers that it did', async () => {
      await rig.start()
      const chats = [0, 1, 2].map((n) => service.chat(n))
      const texts = ['first', 'second', 'third']
      for (const text of texts) for (const chat of chats) await notice(chat, text)
      for (const chat of chats) await shows(chat).toEqual(texts)
      await allSaid()
      await rig.stop()
      await rig.start()
      await notice(service.chat(0), 'fourth')
      await shows(service.chat(0)).toEqual([...texts, 'fourth'])
    })

    test(`keeps the order of each of ${conversations} conversations at once`, async () => {
      await rig.start()
      const chats = Array.from({ length: conversations }, (_, n) => service.chat(n))
      const texts = ['first', 'second', 'third']
      service.flood(5)
      for (const text of texts) await Promise.all(chats.map((chat) => notice(chat, text)))
      await expect
        .poll(() => chats.filter((chat) => service.shown(chat).length === texts.length), {
          ...patient,
          timeout: 50_000,
        })
        .toHaveLength(chats.length)
      for (const chat of chats) expect(service.shown(chat)).toEqual(texts)
    })

    test('says all of what is too long for one message', async () => {
      await rig.start()
      const chat = service.chat(0)
      await notice(chat, tooLong)
      await allSaid()
      const shown = service.shown(chat)
      expect(shown.length).toBeGreaterThan(1)
      expect(shown.join('').replace(/\s/g, '')).toBe(tooLong.replace(/\s/g, ''))
    })

    test('waits as long as it is told to, and says it then', async () => {
      await rig.start()
      const chat = service.chat(0)
      service.flood(3)
      await notice(chat, 'patience')
      await shows(chat).toEqual(['patience'])
      await allSaid()
      expect(service.impatientCalls()).toBe(0)
    })

    test('bears an outage and says so, loses nothing and says nothing twice', async () => {
      await rig.start()
      await connected()
      service.outage(true)
      const chat = service.chat(0)
      await notice(chat, 'one')
      await notice(chat, 'two')
      await expect.poll(state, patient).toMatch(/^Disconnected/)
      service.outage(false)
      await shows(chat).toEqual(['one', 'two'])
      await allSaid()
      await connected()
    })

    test('says plain what the service does not understand, and gives up what it will not take', async () => {
      await rig.start()
      const [chat, gone] = [service.chat(0), service.chat(1)]
      service.refuseMarkup(1)
      await notice(chat, 'a **bold** word')
      await expect.poll(() => service.shown(chat).join(), patient).toMatch(/a \**bold\** word/)
      service.leave(gone)
      await notice(gone, 'nobody there')
      await notice(chat, 'still here')
      await expect.poll(() => service.shown(chat), patient).toHaveLength(2)
      await allSaid()
      expect(service.shown(gone)).toEqual([])
    })

    test('loses nothing while the bus is down', async () => {
      await rig.start()
      const chat = service.chat(0)
      await notice(chat, 'before')
      await shows(chat).toEqual(['before'])
      await allSaid()
      await nats.restart()
      await notice(chat, 'after')
      await shows(chat).toEqual(['before', 'after'])
      await allSaid()
    })

    test('killed between the acceptance and what it remembers of it, says it again only there', async () => {
      await rig.start()
      const chat = service.chat(0)
      const accepted = service.swallowAnswer()
      await notice(chat, 'once or twice')
      await accepted
      await rig.kill9()
      await rig.start()
      await notice(chat, 'the next')
      await expect.poll(() => service.shown(chat).at(-1), patient).toBe('the next')
      await allSaid()
      const said = ['once or twice', ...(idempotent ? [] : ['once or twice']), 'the next']
      expect(service.shown(chat)).toEqual(said)
    })
  })

  describe('a run', { timeout: long }, () => {
    const piece = (uid: string, offset: number, text: string, step = 1) =>
      publish(
        controllerGateway(),
        runSubjects({ ...channel, uid }).liveModel,
        { attempt: 1, step, offset, kind: 'text', source: 'model', text },
        { id: `${uid}/${step}/${offset}` },
      )
    let gateway: Bus
    const controllerGateway = () => gateway
    beforeEach(async () => {
      gateway = await nats.connect({ kind: 'gateway' })
    })

    test('is shown as it goes in one message, which the reply takes the place of', async () => {
      await rig.start()
      const chat = service.chat(0)
      await send({ type: 'turn', ...place(chat), run: run('uid-1') })
      if (typing) await expect.poll(() => service.typing(chat), patient).toBeGreaterThan(0)
      else await rig.said('serving')
      if (edits) {
        await expect
          .poll(async () => {
            // What is published before the channel listens is gone, as previews are.
            await piece('uid-1', 0, 'I look ')
            await piece('uid-1', 7, 'into it')
            return service.shown(chat).length
          }, patient)
          .toBe(1)
      } else await piece('uid-1', 0, 'I look into it')
      await reply(chat, 'uid-1', 'The answer is 42.')
      await shows(chat).toEqual(['The answer is 42.'])
      await allSaid()
    })

    test('goes on in the same message when the channel is killed in between', async () => {
      await rig.start()
      const chat = service.chat(0)
      await send({ type: 'turn', ...place(chat), run: run('uid-2') })
      const talk = async (step: number) => {
        if (!edits) return
        await expect
          .poll(async () => {
            await publish(
              gateway,
              runSubjects({ ...channel, uid: 'uid-2' }).liveModel,
              { attempt: 1, step, offset: 0, kind: 'text', source: 'model', text: `Step ${step}.` },
              { id: `${step}/${++count}` },
            )
            return service.shown(chat)
          }, patient)
          .toEqual([`Step ${step}.`])
      }
      await talk(1)
      // Remembered, which takes the bus a moment.
      await new Promise((resolve) => setTimeout(resolve, 500))
      await rig.kill9()
      await rig.start()
      await talk(2)
      await reply(chat, 'uid-2', 'Done.')
      await shows(chat).toEqual(['Done.'])
      await allSaid()
    })

    test('of which half the reply is said when the channel is killed has the rest said then', async () => {
      await rig.start()
      const chat = service.chat(0)
      await send({ type: 'turn', ...place(chat), run: run('uid-4') })
      await reply(chat, 'uid-4', tooLong)
      await expect.poll(() => service.shown(chat).length, patient).toBeGreaterThan(1)
      service.flood(10_000)
      // Remembered, which takes the bus a moment.
      await new Promise((resolve) => setTimeout(resolve, 500))
      await rig.kill9()
      service.flood(0)
      await rig.start()
      await allSaid()
      expect(service.shown(chat).join('').replace(/\s/g, '')).toBe(tooLong.replace(/\s/g, ''))
    })

    test.runIf(edits)('shown by a message of which nobody heard is known again by its key', async () => {
      await rig.start()
      const chat = service.chat(0)
      const accepted = service.swallowAnswer()
      await send({ type: 'turn', ...place(chat), run: run('uid-5') })
      await expect
        .poll(async () => {
          await piece('uid-5', 0, 'I look into it')
          return await Promise.race([accepted.then(() => true), new Promise((resolve) => setTimeout(resolve, 100))])
        }, patient)
        .toBe(true)
      await rig.kill9()
      await rig.start()
      await reply(chat, 'uid-5', 'The answer is 42.')
      await shows(chat).toEqual([...(idempotent ? [] : ['I look into it']), 'The answer is 42.'])
      await allSaid()
    })

    test('that was answered is answered once, whoever says it again', async () => {
      await rig.start()
      const chat = service.chat(0)
      await reply(chat, 'uid-3', 'Done.')
      await shows(chat).toEqual(['Done.'])
      await reply(chat, 'uid-3', 'Done.')
      await send({ type: 'turn', ...place(chat), run: run('uid-3') })
      await notice(chat, 'the last')
      await shows(chat).toEqual(['Done.', 'the last'])
      await allSaid()
      expect(service.shown(chat)).toEqual(['Done.', 'the last'])
    })
  })

  describe('the program', { timeout: long }, () => {
    test('tells a refused token from an outage, and is well again when it is taken', async () => {
      service.refuseToken(true)
      await rig.start()
      await expect.poll(state, patient).toMatch(/^Error /)
      service.refuseToken(false)
      await connected()
    })

    test('says what it is about to say when it is told to stop, and ends with 0', async () => {
      await rig.start()
      await connected()
      expect(await rig.stop()).toBe(0)
    })

    test('does not start with an empty token', async () => {
      expect(await rig.start({ [token]: '' })).toMatch(new RegExp(token))
      expect(await rig.exited()).toBeGreaterThan(0)
    })
  })
}
