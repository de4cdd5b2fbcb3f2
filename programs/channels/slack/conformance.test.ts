import { join } from 'node:path'
import { describe } from 'vitest'
import { shownText, startSlack } from '../../../test/services/slack.ts'
import { freePort } from '../../../test/support/ports.ts'
import { type Conforming, conforms, type StandIn } from '../conformance.test-support.ts'

const slack: Omit<Conforming, 'standIn'> = {
  program: join(import.meta.dirname, 'main.ts'),
  token: 'SLACK_BOT_TOKEN',
  edits: true,
  // In threads alone, which say.test.ts tries.
  typing: false,
  // Not by Slack itself: what is in doubt is looked for in the chat's history.
  idempotent: true,
  tooLong: Array.from({ length: 1500 }, (_, at) => `word${at}`).join(' '),
}

describe('Slack over Socket Mode', () => conforms({ ...slack, standIn: () => standIn() }))

describe('Slack by signed events over HTTP', () => {
  conforms({
    ...slack,
    // Slack knows the address before the program is there to be called.
    standIn: async () => standIn(`127.0.0.1:${await freePort()}`),
  })
})

/** With an address, Slack calls the program there. */
async function standIn(listen?: string): Promise<StandIn> {
  const slack = await startSlack()
  if (listen !== undefined) slack.callsAt(`http://${listen}/webhook`)
  return {
    env: listen === undefined ? slack.env : { ...slack.eventsEnv, K8SCLAW_LISTEN: listen },
    chat: (n) => slack.direct(n),
    say: (chat, text) => void slack.say(`U${chat}`, chat, text),
    sayAtOnce: (chat, texts) =>
      slack.atOnce(() => {
        for (const text of texts) slack.say(`U${chat}`, chat, text)
      }),
    sayAgain: () => slack.again(),
    shown: (chat) => slack.said(chat).map(shownText),
    edits: (chat) => slack.edits(chat),
    typing: (chat) => slack.statuses.filter(({ channel }) => channel === chat).length,
    allTaken: () => slack.pending() === 0,
    swallowAnswer: () => slack.swallowAnswer(),
    outage: (on) => slack.outage(on),
    flood: (calls) => slack.flood(calls),
    // Slack refuses no text for its marks: what it does not understand it shows as it is.
    refuseMarkup: () => {},
    refuseToken: (on) => slack.refuse(on ? 'invalid_auth' : ''),
    leave: (chat) => slack.kick(chat),
    impatientCalls: () => slack.impatientCalls(),
    close: () => slack.close(),
  }
}
