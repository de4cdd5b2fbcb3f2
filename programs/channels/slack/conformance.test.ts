import { join } from 'node:path'
import { describe } from 'vitest'
import { shownText, startSlack } from '../../../test/services/slack.ts'
import { conforms, type StandIn } from '../conformance.test-support.ts'

describe('Slack over Socket Mode', () => {
  conforms({
    program: join(import.meta.dirname, 'main.ts'),
    token: 'SLACK_BOT_TOKEN',
    standIn,
    edits: true,
    // In threads alone, which slack.test.ts tries.
    typing: false,
    // Not by Slack itself: what is in doubt is looked for in the chat's history.
    idempotent: true,
    tooLong: Array.from({ length: 1500 }, (_, at) => `word${at}`).join(' '),
  })
})

async function standIn(): Promise<StandIn> {
  const slack = await startSlack()
  return {
    env: slack.env,
    chat: (n) => slack.direct(n),
    say: (chat, text) => void slack.say(`U${chat}`, chat, text),
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
