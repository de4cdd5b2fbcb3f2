import { join } from 'node:path'
import { describe } from 'vitest'
import { type Call, type Chat, type Message, startTelegram } from '../../../test/services/telegram.ts'
import { freePort } from '../../../test/support/ports.ts'
import { type Conforming, conforms, type StandIn } from '../conformance.test-support.ts'

async function standIn(more: Record<string, string> = {}): Promise<StandIn> {
  const telegram = await startTelegram()
  const people = new Map<string, { user: ReturnType<typeof telegram.user>; chat: Chat }>()
  const messages: Message[] = []
  const personIn = (chat: string) => {
    const person = people.get(chat)
    if (!person) throw new Error(`no chat ${chat}`)
    return person
  }
  const accepted = (chat: string, method: string) =>
    telegram.calls.filter(
      (call: Call) => call.method === method && call.status === 200 && String(call.parameters.chat_id) === chat,
    ).length
  const say = (chat: string, text: string) => {
    const { user, chat: where } = personIn(chat)
    messages.push(telegram.say(user, where, text))
  }
  return {
    env: { TELEGRAM_BOT_TOKEN: telegram.token, TELEGRAM_API_URL: telegram.url, ...more },
    chat(n) {
      const known = [...people.keys()][n]
      if (known !== undefined) return known
      const user = telegram.user(`Person ${n}`)
      people.set(String(user.id), { user, chat: telegram.direct(user) })
      return String(user.id)
    },
    say,
    sayAtOnce: (chat, texts) =>
      telegram.atOnce(() => {
        for (const text of texts) say(chat, text)
      }),
    sayAgain() {
      for (const message of messages) telegram.repeat(message)
    },
    shown: (chat) => telegram.said(personIn(chat).chat).map(({ text = '' }) => text),
    edits: (chat) => accepted(chat, 'editMessageText'),
    typing: (chat) => accepted(chat, 'sendChatAction'),
    allTaken: () => telegram.pending() === 0,
    swallowAnswer: () => telegram.swallowAnswer(),
    outage: (on) => telegram.outage(on),
    flood: (calls) => telegram.flood(calls),
    refuseMarkup: (calls) => telegram.refuseMarkup(calls),
    refuseToken: (on) => telegram.revoke(on),
    leave: (chat) => void telegram.block(personIn(chat).chat),
    impatientCalls: () => telegram.impatientCalls(),
    close: () => telegram.close(),
  }
}

const telegram: Omit<Conforming, 'standIn'> = {
  program: join(import.meta.dirname, 'main.ts'),
  token: 'TELEGRAM_BOT_TOKEN',
  edits: true,
  typing: true,
  idempotent: false,
  tooLong: Array.from({ length: 1200 }, (_, at) => `word${at}`).join(' '),
}

describe('Telegram', () => conforms({ ...telegram, standIn }))

describe('Telegram by webhook', () => {
  conforms({
    ...telegram,
    async standIn() {
      const listen = `127.0.0.1:${await freePort()}`
      return await standIn({
        K8SCLAW_LISTEN: listen,
        TELEGRAM_WEBHOOK_URL: `http://${listen}/webhook`,
        TELEGRAM_WEBHOOK_SECRET: 'a_secret_of_a_webhook',
      })
    },
  })
})
