/** Somebody who says more while the agent is at work, at a stand-in of Telegram: a whole platform between them. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { stringify } from 'yaml'
import type { AgentRun, ClawInstance } from '#core/kinds'
import { startTelegram, type TelegramService } from './services/telegram.ts'
import { allowAll, demoScript, instance } from './support/objects.ts'
import { startTestPlatform, type TestPlatform } from './support/platform.ts'

/** It works on until it is told something else, so that no time has to be met. */
const script = stringify({
  steps: [
    { when: { user: '*dig*' }, reply: { toolCalls: [{ name: 'exec', arguments: { script: 'sleep 1' } }] } },
    { reply: { text: 'At the end you wrote: {{user}}' } },
  ],
})

let platform: TestPlatform
let telegram: TelegramService
const patient = { timeout: 120_000, interval: 200 }

beforeAll(async () => {
  telegram = await startTelegram()
  platform = await startTestPlatform()
  const { secret, authRefs } = demoScript('digs', script)
  const channels = [
    {
      ...{ name: 'telegram', type: 'telegram', secretRef: { name: 'bot' } },
      ...{ access: { mode: 'open' }, whileRunning: 'steer' },
    },
  ]
  const bot = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'bot', namespace: 'default' },
    stringData: { TELEGRAM_BOT_TOKEN: telegram.token, TELEGRAM_API_URL: telegram.url },
  }
  await platform.apply(allowAll(), secret, bot, instance('helper', { timeout: '170s' }, { authRefs, channels }))
  await vi.waitFor(async () => {
    const { status } = await platform.getJson<ClawInstance>('get', 'clawinstance', 'helper')
    expect(status?.channels?.[0]?.state).toBe('Connected')
  }, patient)
})
afterAll(async () => {
  await platform?.close()
  await telegram?.close()
})

test('what is said while a run is at work reaches its agent, is answered by it, and stands in the conversation', async () => {
  const alice = telegram.user('Alice')
  const chat = telegram.direct(alice)
  telegram.say(alice, chat, 'Please dig.')
  const runs = async () => (await platform.getJson<{ items: AgentRun[] }>('get', 'agentruns')).items
  await vi.waitFor(async () => expect((await runs())[0]?.status?.phase).toBe('Running'), patient)
  telegram.say(alice, chat, 'That is enough.')
  const said = () => telegram.said(chat).map(({ text = '' }) => text)
  await expect.poll(said, patient).toEqual(['At the end you wrote: That is enough.'])
  const [run, ...others] = await runs()
  expect(others).toEqual([])
  expect(run?.spec.origin).toMatchObject({ kind: 'channel', direct: true })
  await expect
    .poll(async () => {
      const { stdout } = await platform.k8sclaw('sessions', 'list', '-o', 'json')
      const { id = '' } = (JSON.parse(stdout) as { items: { id: string }[] }).items[0] ?? {}
      const shown = await platform.k8sclaw('sessions', 'export', id)
      return shown.stdout
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { content: string }).content)
    }, patient)
    .toEqual(['Please dig.', 'That is enough.', 'At the end you wrote: That is enough.'])
})
