import { join } from 'node:path'
import { describe } from 'vitest'
import { startDiscord } from '../../../test/services/discord.ts'
import { conforms, type StandIn } from '../conformance.test-support.ts'

/** Discord, with people who write to the bot directly. */
async function people(): Promise<StandIn> {
  const discord = await startDiscord()
  const chats = Array.from({ length: 20 }, (_, n) => ({ by: discord.user(`Person${n}`), channel: discord.direct() }))
  const said: [string, object][] = []
  const find = (id: string) => chats.find(({ channel }) => channel.id === id)
  const say = (chat: string, text: string) => {
    const found = find(chat)
    if (found) said.push([chat, discord.say(found.by, found.channel, text)])
  }
  return {
    env: discord.env,
    chat: (n) => chats[n]?.channel.id ?? '',
    say,
    // A session's events have an order of their own.
    async sayAtOnce(chat, texts) {
      for (const text of texts) say(chat, text)
    },
    sayAgain() {
      for (const [, message] of said) discord.gateway.dispatch('MESSAGE_CREATE', message)
    },
    shown: (id) => discord.said({ id }).map(({ content }) => content),
    edits: discord.edits,
    typing: discord.typing,
    allTaken: () => discord.gateway.connected() > 0 && discord.gateway.allHeard(),
    swallowAnswer: discord.swallowAnswer,
    outage: discord.outage,
    flood: discord.flood,
    // Discord takes any markup, and shows as text what is none.
    refuseMarkup() {},
    refuseToken: discord.refuseToken,
    leave: discord.leave,
    impatientCalls: discord.impatient,
    close: discord.close,
  }
}

describe('Discord', () => {
  conforms({
    program: join(import.meta.dirname, 'main.ts'),
    token: 'DISCORD_BOT_TOKEN',
    standIn: people,
    edits: true,
    typing: true,
    idempotent: true,
    tooLong: Array.from({ length: 500 }, (_, at) => `word${at}`).join(' '),
  })
})
