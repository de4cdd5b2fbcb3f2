import { join } from 'node:path'
import { describe } from 'vitest'
import { type Call, type Chat, type Message, startTelegram } from '../../../test/services/telegram.ts'
import { conforms, type StandIn } from '../conformance.test-support.ts'

async function standIn(): Promise<StandIn> {
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
  return {
    env: { TELEGRAM_BOT_TOKEN: telegram.token, TELEGRAM_API_URL: telegram.url },
    chat(n) {
      const known = [...people.keys()][n]
      if (known !== undefined) return known
      const user = telegram.user(`Person ${n}`)
      people.set(String(user.id), { user, chat: telegram.direct(user) })
      return String(user.id)
    },
    say(chat, text) {
      const { user, chat: where } = personIn(chat)
      messages.push(telegram.say(user, where, text))
    },
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

describe('Telegram', () => {
  conforms({
    program: join(import.meta.dirname, 'main.ts'),
    token: 'TELEGRAM_BOT_TOKEN',
    standIn,
    edits: true,
    typing: true,
    idempotent: false,
    tooLong: Array.from({ length: 1200 }, (_, at) => `word${at}`).join(' '),
  })
})
