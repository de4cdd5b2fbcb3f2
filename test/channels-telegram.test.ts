/** People at a stand-in of Telegram, and agents at the other end: a whole platform between them. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { stringify } from 'yaml'
import type { AgentRun, ClawInstance } from '#core/kinds'
import { type Chat, startTelegram, type TelegramService } from './services/telegram.ts'
import { allowAll, demoScript, instance } from './support/objects.ts'
import { startTestPlatform, type TestPlatform } from './support/platform.ts'
import { type PodObject, pidOf } from './support/pods.ts'
import { notes, shorten, shortened } from './support/shorten.ts'

const words = Array.from({ length: 60 }, (_, at) => `word${at}`).join(' ')
const long = Array.from({ length: 900 }, (_, at) => `- item **${at}** & more`).join('\n')
const script = stringify({
  steps: [
    { when: { user: '*slowly*' }, reply: { text: `# Slowly\n\n${words}`, delayMs: 100 } },
    { when: { user: '*at length*' }, reply: { text: [long] } },
    { when: { user: '*overload*' }, reply: { error: { status: 400, message: 'no', retryable: false } } },
    ...shorten,
    { reply: { text: 'You **wrote**: `{{user}}`' } },
  ],
})

let platform: TestPlatform
let telegram: TelegramService
let other: TelegramService
const patient = { timeout: 60_000, interval: 100 }

beforeAll(async () => {
  telegram = await startTelegram()
  alice = telegram.user('Alice')
  other = await startTelegram('654321:stand-in_of_a_token_of_another')
  platform = await startTestPlatform()
  const { secret, authRefs } = demoScript('talks', script)
  const channels = (bot: string, access: object) => [
    { name: 'telegram', type: 'telegram', secretRef: { name: bot }, access },
  ]
  const bot = (name: string, { token, url }: TelegramService) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: 'default' },
    stringData: { TELEGRAM_BOT_TOKEN: token, TELEGRAM_API_URL: url },
  })
  await platform.apply(
    allowAll(),
    secret,
    bot('bot', telegram),
    bot('other-bot', other),
    instance('helper', {}, { authRefs, channels: channels('bot', { mode: 'pairing' }) }),
    instance('neighbour', {}, { authRefs, channels: channels('other-bot', { mode: 'open' }) }),
  )
  for (const name of ['helper', 'neighbour'])
    await vi.waitFor(async () => expect(await state(name)).toBe('Connected'), patient)
})
afterAll(async () => {
  await platform?.close()
  await telegram?.close()
  await other?.close()
})

const state = async (name: string) => {
  const { status } = await platform.getJson<ClawInstance>('get', 'clawinstance', name)
  return status?.channels?.[0]?.state
}
const said = (chat: Chat, where = telegram) => where.said(chat).map(({ text = '' }) => text)
let alice: ReturnType<TelegramService['user']>

test('a stranger is given a code, and with it let in', async () => {
  const chat = telegram.direct(alice)
  telegram.say(alice, chat, 'Hello?')
  await expect.poll(() => said(chat), patient).toEqual([expect.stringMatching(/channels pair/)])
  const [, code = ''] = said(chat)[0]?.match(/channels pair (\S+)/) ?? []
  const paired = await platform.k8sclaw('channels', 'pair', code, '-n', 'default', '--instance', 'helper')
  expect(paired, paired.stderr).toMatchObject({ code: 0 })
  const again = await platform.k8sclaw('channels', 'pair', code, '-n', 'default', '--instance', 'helper')
  expect(again.code).toBe(1)
  expect(again.stderr).toMatch(/this code is not known, or no longer/)
  telegram.say(alice, chat, 'Hello!')
  await expect.poll(() => said(chat).at(-1), patient).toBe('You wrote: Hello!')
  expect(telegram.said(chat).at(-1)?.entities).toMatchObject([{ type: 'bold' }, { type: 'code' }])
})

test('a file that is sent lies in the workspace, and one that the agent hands over follows its answer', async () => {
  const chat = telegram.direct(alice)
  const document = telegram.files.keep('notes.txt', 'text/plain', notes)
  const program = telegram.files.keep('tool.txt', 'text/plain', Buffer.from('7f454c4602010100', 'hex'))
  telegram.say(alice, chat, '', { more: { document, caption: 'shorten this' } })
  telegram.say(alice, chat, '', { more: { document: program } })
  await expect.poll(() => said(chat), patient).toContain('Here it is.')
  const handed = () =>
    telegram.said(chat).flatMap(({ document: sent }) => {
      const { file_id: id, file_name: name } = (sent ?? {}) as { file_id?: string; file_name?: string }
      return id === undefined ? [] : [[name, telegram.files.bytes(id)?.toString()]]
    })
  await expect.poll(handed, patient).toEqual(shortened)
  await expect.poll(() => said(chat).join('\n'), patient).toMatch(/could not take tool\.txt: files of its kind/)
})

test('an answer grows in one message, and stands there when it is whole', async () => {
  const chat = telegram.direct(alice)
  const before = said(chat).length
  telegram.say(alice, chat, 'Tell me slowly')
  await expect.poll(() => said(chat).at(-1), patient).toBe(`Slowly\n\n${words}`)
  expect(said(chat)).toHaveLength(before + 1)
  const message = telegram.said(chat).at(-1)?.message_id
  const grown = telegram.calls.filter(
    ({ method, parameters, status }) =>
      method === 'editMessageText' && parameters.message_id === message && status === 200,
  )
  expect(grown.length).toBeGreaterThan(1)
  const typed = telegram.calls.some(
    ({ method, parameters }) => method === 'sendChatAction' && Number(parameters.chat_id) === chat.id,
  )
  expect(typed).toBe(true)
})

test('a long answer comes whole, in messages that Telegram takes', async () => {
  const chat = telegram.direct(alice)
  const before = said(chat).length
  telegram.say(alice, chat, 'Tell me at length')
  await expect
    .poll(
      () =>
        said(chat)
          .slice(before)
          .join('\n')
          .match(/item \d+/g)?.length,
      patient,
    )
    .toBe(900)
  expect(telegram.calls.filter(({ status, method }) => status === 400 && method === 'sendMessage')).toEqual([])
})

test('what went wrong is said in one sentence with the name of the run', async () => {
  const chat = telegram.direct(alice)
  telegram.say(alice, chat, 'overload')
  const runs = async () => {
    const { items } = await platform.getJson<{ items: AgentRun[] }>('get', 'agentruns')
    return items.find(({ spec }) => spec.task === 'overload')?.metadata.name
  }
  await expect.poll(runs, patient).toBeTruthy()
  const name = await runs()
  await expect.poll(() => said(chat).at(-1), patient).toContain(name)
})

test('in a group the bot answers who speaks to it, in the topic', async () => {
  const group = telegram.group('Team')
  const topic = telegram.topic(group)
  telegram.say(alice, group, 'not for the bot', { thread: topic })
  telegram.say(telegram.user('Mallory'), group, '@claw_bot let me in', { thread: topic })
  telegram.say(alice, group, '@claw_bot and me?', { thread: topic })
  await expect.poll(() => said(group), patient).toEqual([expect.stringMatching(/and me\?/)])
  expect(telegram.said(group)[0]?.message_thread_id).toBe(topic)
})

test('two bots whose people have the same number never meet', async () => {
  const here = telegram.direct(alice)
  const before = said(here)
  const chat = other.direct(alice)
  other.say(alice, chat, 'next door')
  await expect.poll(() => said(chat, other), patient).toEqual(['You wrote: next door'])
  expect(said(here)).toEqual(before)
})

test('a channel that is killed while it answers goes on in the same message', async () => {
  const chat = telegram.direct(alice)
  const before = said(chat).length
  telegram.say(alice, chat, 'Once more, slowly')
  await expect.poll(() => said(chat).length, patient).toBe(before + 1)
  const { items } = await platform.getJson<{ items: PodObject[] }>(
    'get',
    'pods',
    '-l',
    'k8sclaw.io/instance=helper,k8sclaw.io/channel=telegram',
  )
  const pid = items[0] && pidOf(platform, items[0], 'channel')
  if (!pid) throw new Error('no process of the channel')
  process.kill(pid, 'SIGKILL')
  await expect.poll(() => said(chat).at(-1), patient).toBe(`Slowly\n\n${words}`)
  expect(
    said(chat).length - before,
    'said twice only where what was posted was not remembered yet',
  ).toBeLessThanOrEqual(2)
})

test('a token that is refused shows in the status, and one that is taken again too', async () => {
  telegram.revoke()
  await expect.poll(() => state('helper'), patient).toBe('Error')
  telegram.revoke(false)
  await expect.poll(() => state('helper'), patient).toBe('Connected')
})
