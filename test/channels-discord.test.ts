/** People at a stand-in of Discord, and an agent at the other end: a whole platform between them. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type DiscordService, startDiscord } from './services/discord.ts'
import { type ChatPlatform, startChatPlatform } from './support/chat-platform.ts'
import { notes, shorten, shortened } from './support/shorten.ts'

const words = Array.from({ length: 60 }, (_, at) => `word${at}`).join(' ')
const steps = [
  { when: { user: '*slowly*' }, reply: { text: words, delayMs: 100 } },
  ...shorten,
  { reply: { text: 'You **wrote**: {{user}}' } },
]
const patient = { timeout: 60_000, interval: 100 }

let platform: ChatPlatform
let discord: DiscordService

beforeAll(async () => {
  discord = await startDiscord()
  platform = await startChatPlatform(steps, [{ name: 'discord', type: 'discord', secret: discord.env }])
}, 300_000)
afterAll(async () => {
  await platform?.close()
  await discord?.close()
})

const state = () => platform.state('discord')

test('a file that is sent lies in the workspace, and one that the agent hands over follows its answer', async () => {
  const direct = discord.direct()
  const file = discord.file(direct, 'notes.txt', 'text/plain', notes)
  discord.say(discord.user('Bea'), direct, 'shorten this', { attachments: [file] })
  await expect.poll(() => discord.said(direct).map(({ content }) => content), patient).toContain('Here it is.')
  const handed = () =>
    discord
      .said(direct)
      .flatMap(({ attachments }) => attachments.map((one) => [one.filename, discord.bytesOf(one)?.toString()]))
  await expect.poll(handed, patient).toEqual(shortened)
})

test('an answer grows in one message of a thread, a command is answered, and a refused intent shows', async () => {
  const alice = discord.user('Alice')
  const thread = discord.thread(discord.channel(discord.guild()))
  const said = (where: { id: string }) => discord.said(where).map(({ content }) => content)
  discord.say(alice, thread, 'not for the bot')
  const asked = discord.say(alice, thread, `<@${discord.bot.id}> Tell me slowly`)
  await expect.poll(() => said(thread), patient).toEqual([words])
  expect(discord.edits(thread.id)).toBeGreaterThan(1)
  expect(discord.typing(thread.id)).toBeGreaterThan(0)
  expect(discord.said(thread)[0]).toMatchObject({ message_reference: { message_id: asked.id }, flags: 4 })
  const direct = discord.direct()
  const status = discord.command(alice, direct, 'status')
  await expect.poll(() => said(direct).length, patient).toBe(1)
  expect(status.content).toBe('Heard: /status')
  discord.say(alice, direct, 'Hello')
  await expect.poll(() => said(direct).at(-1), patient).toBe('You **wrote**: Hello')
  expect(discord.calls.filter(({ status }) => status === 400)).toEqual([])
  discord.intents(0)
  discord.gateway.forget()
  discord.gateway.drop()
  await expect.poll(state, patient).toBe('Error MissingIntent')
}, 240_000)
