import { setTimeout as sleep } from 'node:timers/promises'
import { type Chat, startTelegram, type TelegramService } from '../test/services/telegram.ts'
import { startTestPlatform, type TestPlatform } from '../test/support/platform.ts'
import { type Bench, figure, median } from './figures.ts'
import { ownerOf } from './memory.ts'
import { residentMiB } from './resident.ts'
import { Subject } from './subject.ts'

const times = 15
const giveUpMs = 60_000
/** What goals.md allows the bridge, which as well is a program that speaks to the bus and little else. */
const goalMiB = 75
const script = "steps: [{ reply: { text: 'I heard: {{user}}' } }]"

/**
 * channelRoundTrip: a person's message accepted by the stand-in of Telegram to the whole answer standing in the chat,
 * the 1.5 s in which a person may go on writing included; held against the same run asked for over the API of Kubernetes,
 * created to seen Succeeded, one after the other. rssChannel: resident memory of the channel's program after that.
 */
export const channels: Bench = {
  figures: ['channelRoundTrip', 'rssChannel'],
  async take() {
    const telegram = await startTelegram()
    const platform = await startTestPlatform()
    try {
      const subject = await Subject.prepare(platform)
      await subject.secret('bench-chat', { script })
      await subject.secret('bench-bot', { TELEGRAM_BOT_TOKEN: telegram.token, TELEGRAM_API_URL: telegram.url })
      const access = { mode: 'open', groups: 'mention' } as const
      const chatty = [{ name: 'telegram', type: 'telegram', secretRef: { name: 'bench-bot' }, access } as const]
      await subject.instance('bench-chat', { sandbox: { enabled: true } }, 'bench-chat', { channels: [...chatty] })
      const person = telegram.user('Bench')
      const chat = telegram.direct(person)
      // The first one also waits for the channel to start.
      await answered(telegram, chat, () => telegram.say(person, chat, 'are you there?'), 'I heard: are you there?')
      const trips: number[] = []
      const direct: number[] = []
      for (let i = 0; i < times; i++) {
        const text = `message ${i}`
        trips.push(await answered(telegram, chat, () => telegram.say(person, chat, text), `I heard: ${text}`))
        const { createdAt, seenAt } = await subject.perform(`bench-chat-${i}`, { instanceRef: { name: 'bench-chat' } })
        direct.push(seenAt - createdAt)
      }
      const resident = residentOf(platform)
      subject.close()
      return {
        channelRoundTrip: figure('ms', trips, median(direct)),
        rssChannel: figure('MiB', resident > 0 ? [resident] : [], goalMiB),
      }
    } finally {
      await platform.close()
      await telegram.close()
    }
  },
}

/** Milliseconds from what is said until that answer is the last message of the chat. */
async function answered(telegram: TelegramService, chat: Chat, say: () => unknown, answer: string): Promise<number> {
  const start = performance.now()
  say()
  while (telegram.said(chat).at(-1)?.text !== answer) {
    if (performance.now() - start > giveUpMs) throw new Error(`no answer ${JSON.stringify(answer)} within a minute`)
    await sleep(5)
  }
  return performance.now() - start
}

function residentOf(platform: TestPlatform): number {
  return residentMiB(ownerOf(platform.dataDir), 'channel-telegram')
}
