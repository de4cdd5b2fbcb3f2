import { expect, test } from 'vitest'
import { type Bus, ensureStreams } from '#core/bus'
import { publishReceived, type Received, receivedMessages } from '#core/channels'
import { startNats } from '../../../test/support/nats.ts'
import { Inbox } from './inbox.ts'

const channel = { namespace: 'team', instance: 'helper', channel: 'chat' }
const message = (id: string): Received => ({
  ...{ id, at: '2026-01-02T03:04:05Z', chat: { id: 'c1', kind: 'direct' }, text: id, mentioned: true },
  ...{ sender: { id: 'U1', name: 'Ada', kind: 'person' }, mayCommand: true, attachments: [] },
})

/** Does this once, between the bus's first answer about what is held and whoever asked. */
function meanwhile(bus: Bus, act: () => Promise<void>): Bus {
  let done: Promise<void> | undefined
  return new Proxy(bus, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name)
      if (name !== 'request') return value
      return async (subject: string, body: string) => {
        const answer = await target.request(subject, body)
        if (!subject.includes('CONSUMER.INFO')) return answer
        done ??= act()
        await done
        return answer
      }
    },
  })
}

test('what a former process settles at the last moment holds nobody up', { timeout: 60_000 }, async ({
  onTestFinished,
}) => {
  const nats = await startNats()
  onTestFinished(() => nats.close())
  const stop = new AbortController()
  onTestFinished(() => stop.abort())
  const former = await nats.connect({ kind: 'controller' })
  await ensureStreams(former)
  const speaker = await nats.connect({ kind: 'channel', channel })
  const say = (id: string) => publishReceived(speaker, channel, message(id), { id })

  await say('before')
  const reading = new AbortController()
  let settle = () => {}
  for await (const taken of receivedMessages(former, reading.signal)) {
    settle = () => taken.message.ack()
    break
  }
  reading.abort()
  const bus = meanwhile(await nats.connect({ kind: 'controller' }), async () => {
    settle()
    await former.close()
  })
  const heard: string[] = []
  const inbox = new Inbox(bus, stop.signal, { patienceMs: 3_600_000 })
  const running = inbox.run(({ message: { text }, settle: done }) => {
    heard.push(text)
    done()
  })
  await say('after')
  await expect.poll(() => heard, { timeout: 30_000 }).toEqual(['after'])
  stop.abort()
  await running
})
