import { join } from 'node:path'
import { describe } from 'vitest'
import { type Person, startWhatsApp } from '../../../test/services/whatsapp.ts'
import { freePort } from '../../../test/support/ports.ts'
import { conforms, type StandIn } from '../conformance.test-support.ts'

async function standIn(): Promise<StandIn> {
  const whatsapp = await startWhatsApp()
  const people: Person[] = []
  const personIn = (chat: string) => {
    const person = people.find((one) => one.chat === chat)
    if (!person) throw new Error(`no chat ${chat}`)
    return person
  }
  // Meta knows the address before the program is there to be called.
  const listen = `127.0.0.1:${await freePort()}`
  whatsapp.callsAt(`http://${listen}/webhook`)
  return {
    env: { ...whatsapp.env, K8SCLAW_LISTEN: listen },
    chat(n) {
      while (people.length <= n) people.push(whatsapp.person({ hidden: people.length % 2 === 1 }))
      return people[n]?.chat ?? ''
    },
    say: (chat, text) => void whatsapp.say(personIn(chat), text),
    sayAtOnce: (chat, texts) =>
      whatsapp.atOnce(() => {
        for (const text of texts) whatsapp.say(personIn(chat), text)
      }),
    sayAgain: () => whatsapp.again(),
    shown: (chat) => whatsapp.said(chat).map(({ text }) => text),
    edits: () => 0,
    typing: (chat) => whatsapp.read.filter((one) => one.typing && one.chat === chat).length,
    allTaken: () => whatsapp.pending() === 0,
    swallowAnswer: () => whatsapp.swallowAnswer(),
    outage: (on) => whatsapp.outage(on),
    flood: (calls) => whatsapp.flood(calls),
    // WhatsApp refuses no text for its marks: what it does not understand it shows as it is.
    refuseMarkup: () => {},
    refuseToken: (on) => whatsapp.refuse(on ? 190 : 0, { status: 401 }),
    leave: (chat) => void whatsapp.leave(chat),
    // A refusal names no time but for hours of asking too much, which say.test.ts tries.
    impatientCalls: () => 0,
    close: () => whatsapp.close(),
  }
}

describe('WhatsApp', () => {
  conforms({
    program: join(import.meta.dirname, 'main.ts'),
    token: 'WHATSAPP_ACCESS_TOKEN',
    standIn,
    edits: false,
    // Only of what answers a message, which say.test.ts tries.
    typing: false,
    idempotent: false,
    tooLong: Array.from({ length: 1200 }, (_, at) => `word${at}`).join(' '),
  })
})
