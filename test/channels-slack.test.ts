/** People at a stand-in of Slack, and an agent at the other end: a whole platform between them. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type SlackService, shownText, startSlack } from './services/slack.ts'
import { type ChatPlatform, startChatPlatform } from './support/chat-platform.ts'
import { notes, shorten, shortened } from './support/shorten.ts'

const words = Array.from({ length: 60 }, (_, at) => `word${at}`).join(' ')
const steps = [
  { when: { user: '*slowly*' }, reply: { text: `# Slowly\n\n${words}`, delayMs: 100 } },
  ...shorten,
  { reply: { text: 'You **wrote**: `{{user}}`' } },
]

let platform: ChatPlatform
let slack: SlackService
const patient = { timeout: 60_000, interval: 100 }

beforeAll(async () => {
  slack = await startSlack()
  platform = await startChatPlatform(steps, [{ name: 'work', type: 'slack', secret: slack.env }])
}, 300_000)
afterAll(async () => {
  await platform?.close()
  await slack?.close()
})

const state = () => platform.state('work')
const said = (channel: string) => slack.said(channel).map(shownText)

test('an answer in a direct chat grows in one message, and stands there when it is whole', async () => {
  const chat = slack.direct(0)
  slack.say('U1', chat, 'Tell me slowly')
  await expect.poll(() => said(chat), patient).toEqual([`*Slowly*\n\n${words}`])
  expect(slack.edits(chat)).toBeGreaterThan(1)
})

test('a mention in a channel is answered in its thread, and the thread is one conversation', async () => {
  const channel = slack.channel(0)
  slack.say('U1', channel, 'not for the bot')
  const root = slack.say('U1', channel, `<@${slack.me.user}> and me?`)
  await expect.poll(() => said(channel), patient).toEqual(['You *wrote*: `U1: and me?`'])
  expect(slack.said(channel)[0]?.thread_ts).toBe(root.ts)
  slack.say('U2', channel, `<@${slack.me.user}> us too`, { thread: root.ts })
  await expect.poll(() => said(channel).at(-1), patient).toBe('You *wrote*: `U2: us too`')
  expect(slack.said(channel)[1]?.thread_ts).toBe(root.ts)
})

test('an answer in a thread is shown by Slack as it is written, and stands there as it would elsewhere', async () => {
  const channel = slack.channel(1)
  const root = slack.say('U1', channel, `<@${slack.me.user}> tell me slowly`)
  await expect.poll(() => said(channel), patient).toEqual([`*Slowly*\n\n${words}`])
  expect(slack.appends(channel)).toBeGreaterThan(0)
  expect(slack.said(channel)[0]).toMatchObject({ thread_ts: root.ts, streaming_state: 'completed' })
  expect(slack.unfurled).toEqual([])
})

test('a file that is sent lies in the workspace, and one that the agent hands over follows its answer', async () => {
  const chat = slack.direct(1)
  slack.say('U2', chat, 'shorten this', { more: { subtype: 'file_share', files: [slack.file('notes.txt', notes)] } })
  await expect.poll(() => said(chat), patient).toContain('Here it is.')
  const handed = () =>
    slack
      .said(chat)
      .flatMap(({ files = [] }) =>
        (files as { id: string; title: string }[]).map(({ id, title }) => [title, slack.bytesOf(id)?.toString()]),
      )
  await expect.poll(handed, patient).toEqual(shortened)
})

test('a token that is revoked shows in the status, and one that is taken again too', async () => {
  slack.refuse('token_revoked')
  await expect.poll(state, patient).toBe('Error Revoked')
  slack.refuse('')
  await expect.poll(state, patient).toBe('Connected Connected')
})
