/**
 * What goes beyond words under faults: files in both directions, what is said while a run is at work, and a stream of
 * Slack in a thread. One person each, on a whole platform.
 */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { stringify } from 'yaml'
import type { AgentRun, ClawInstance } from '#core/kinds'
import { type SlackService, shownText, startSlack } from './services/slack.ts'
import { startTelegram, type TelegramService } from './services/telegram.ts'
import { allowAll, demoScript, instance } from './support/objects.ts'
import { startTestPlatform, type TestPlatform } from './support/platform.ts'
import { type PodObject, pidOf, platformPod, programOf } from './support/pods.ts'

const words = Array.from({ length: 60 }, (_, at) => `word${at}`).join(' ')
const script = stringify({
  steps: [
    { when: { user: '*dig*' }, reply: { toolCalls: [{ name: 'exec', arguments: { script: 'sleep 1' } }] } },
    { when: { user: '*slowly*' }, reply: { text: words, delayMs: 200 } },
    {
      when: { user: '*shorten this*', turns: 0 },
      reply: { toolCalls: [{ name: 'exec', arguments: { script: 'head -n 1 attachments/1-notes.txt > short.txt' } }] },
    },
    {
      when: { user: '*shorten this*', turns: 1 },
      reply: { toolCalls: [{ name: 'send_file', arguments: { path: 'short.txt' } }] },
    },
    { when: { user: '*shorten this*' }, reply: { text: 'Here it is.' } },
    { reply: { text: 'At the end you wrote: {{user}}' } },
  ],
})

let platform: TestPlatform
let telegram: TelegramService
let slack: SlackService
const long = { timeout: 400_000 }
const patient = { timeout: 180_000, interval: 100 }

beforeAll(async () => {
  telegram = await startTelegram()
  slack = await startSlack()
  platform = await startTestPlatform()
  const { secret, authRefs } = demoScript('drilled', script)
  const bot = (name: string, stringData: object) => ({
    ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'default' }, stringData },
  })
  const channels = ['telegram', 'slack'].map((name) => ({
    ...{ name, type: name, secretRef: { name }, access: { mode: 'open' }, whileRunning: 'steer' },
  }))
  await platform.apply(
    ...[allowAll(), secret, bot('slack', slack.env)],
    bot('telegram', { TELEGRAM_BOT_TOKEN: telegram.token, TELEGRAM_API_URL: telegram.url }),
    instance('helper', { timeout: '170s' }, { authRefs, channels }),
  )
  await vi.waitFor(async () => {
    const { status } = await platform.getJson<ClawInstance>('get', 'clawinstance', 'helper')
    expect(status?.channels?.map(({ state }) => state)).toEqual(['Connected', 'Connected'])
  }, patient)
}, 300_000)
afterAll(async () => {
  await platform?.close()
  await telegram?.close()
  await slack?.close()
})

async function kill9(program: string): Promise<void> {
  const pod = await platformPod(platform, `k8sclaw-${program}`)
  process.kill(programOf(platform, pod, program), 'SIGKILL')
}

async function killChannel(name: string): Promise<void> {
  const { items } = await platform.getJson<{ items: PodObject[] }>(
    ...['get', 'pods', '-l', `k8sclaw.io/instance=helper,k8sclaw.io/channel=${name}`],
  )
  const pid = items[0] && pidOf(platform, items[0], 'channel')
  if (!pid) throw new Error(`no process of ${name}`)
  process.kill(pid, 'SIGKILL')
}

test(
  'a file comes in and goes out once, through connections that break, and a channel and a bus that are killed',
  long,
  async () => {
    const ada = telegram.user('Ada')
    const chat = telegram.direct(ada)
    telegram.faults.cut(2, /\/getFile$/, { performed: false })
    const document = telegram.files.keep('notes.txt', 'text/plain', Buffer.from('first line\nsecond line\n'))
    telegram.say(ada, chat, '', { more: { document, caption: 'shorten this' } })
    await expect.poll(() => telegram.faults.cutsLeft, patient).toBe(0)
    const tries = 1_000
    telegram.faults.cut(tries, /\/sendDocument$/, { performed: false })
    // The text stands, and is remembered: the file is being tried.
    await expect.poll(() => telegram.faults.cutsLeft, patient).toBeLessThan(tries)
    await killChannel('telegram')
    await kill9('nats')
    telegram.faults.cut(0, /^$/, { performed: false })
    const handed = () =>
      telegram.said(chat).flatMap(({ document: sent }) => {
        const { file_id: id, file_name: name } = (sent ?? {}) as { file_id?: string; file_name?: string }
        return id === undefined ? [] : [[name, telegram.files.bytes(id)?.toString()]]
      })
    await expect.poll(handed, patient).toEqual([['short.txt', 'first line\n']])
    expect(telegram.said(chat).filter(({ text }) => text === 'Here it is.')).toHaveLength(1)
  },
)

test(
  'what is said while a run is at work reaches it once, through a controller and an API server that are killed',
  long,
  async () => {
    const bea = telegram.user('Bea')
    const chat = telegram.direct(bea)
    telegram.say(bea, chat, 'Please dig.')
    const digging = async () => {
      const { items } = await platform.getJson<{ items: AgentRun[] }>('get', 'agentruns')
      return items.filter(({ spec }) => spec.task === 'Please dig.').map(({ status }) => status?.phase)
    }
    await expect.poll(digging, patient).toEqual(['Running'])
    await kill9('controller')
    telegram.say(bea, chat, 'That is enough.')
    await kill9('apiserver')
    await expect
      .poll(() => telegram.said(chat).map(({ text }) => text), patient)
      .toEqual(['At the end you wrote: That is enough.'])
    await expect.poll(digging, patient).toEqual(['Succeeded'])
  },
)

test(
  'an answer that Slack streams in a thread stands there once, through appends that nobody hears of and a channel that is killed',
  long,
  async () => {
    const channel = slack.channel(0)
    // A machine that is busy may have the platform say besides that a run waits.
    const answers = () => slack.said(channel).filter((message) => shownText(message).startsWith('word0'))
    const said = () => answers().map((message) => [message.thread_ts, shownText(message)])
    const ask = () => slack.say('U1', channel, `<@${slack.me.user}> tell me slowly`).ts
    slack.faults.cut(1, /chat\.appendStream$/, { performed: true })
    const first = ask()
    await expect.poll(() => slack.faults.cutsLeft, patient).toBe(0)
    slack.drop()
    await expect.poll(said, patient).toEqual([[first, words]])
    const appends = slack.appends(channel)
    const second = ask()
    await expect.poll(() => slack.appends(channel), patient).toBeGreaterThan(appends)
    await killChannel('slack')
    await expect.poll(said, patient).toEqual([
      [first, words],
      [second, words],
    ])
    expect(slack.unfurled).toEqual([])
  },
)
