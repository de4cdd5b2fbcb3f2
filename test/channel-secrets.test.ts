/** What a Secret does to its channel, on a whole platform: from the kubelet's word to a program that waits for another. */
import { existsSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ClawInstance } from '#core/kinds'
import { startTestPlatform, type TestPlatform } from './support/platform.ts'

let platform: TestPlatform
/** The program of the sample's service is bundled where it is. */
const hasTelegram = existsSync('programs/channels/telegram/main.ts')
beforeAll(async () => {
  if (hasTelegram) platform = await startTestPlatform()
})
afterAll(async () => platform?.close())

const secret = (stringData: object) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'support-bot', namespace: 'default' },
  stringData,
})
const status = async () => {
  const { status } = await platform.getJson<ClawInstance>('get', 'clawinstance', 'support')
  const [channel] = status?.channels ?? []
  return channel && `${channel.state} ${channel.reason}: ${channel.message}`
}
const patient = { timeout: 60_000, interval: 250 }
const restarts = async () => {
  const { items } = await platform.getJson<{ items: { status: { containerStatuses: { restartCount: number }[] } }[] }>(
    ...['get', 'pods', '-l', 'k8sclaw.io/channel=telegram'],
  )
  return items.map(({ status }) => status.containerStatuses[0]?.restartCount)
}

test.skipIf(!hasTelegram)(
  'a channel says what its Secret lacks, and takes up each new one without being told',
  async () => {
    await platform.kubectl(['apply', '-f', 'config/samples/channels/telegram.yaml'])
    await expect.poll(status, patient).toBe('Error SecretMissing: there is no Secret support-bot')
    await platform.apply(secret({ OTHER: 'x' }))
    await expect.poll(status, patient).toBe('Error SecretIncomplete: Secret support-bot has no key TELEGRAM_BOT_TOKEN')
    await platform.apply(secret({ TELEGRAM_BOT_TOKEN: '' }))
    await expect.poll(status, patient).toMatch(/^Error SecretIncomplete: the environment variable TELEGRAM_BOT_TOKEN/)
    expect(await restarts(), 'it waits, and does not end again and again').toEqual([0])
    // Nobody answers there.
    await platform.apply(secret({ TELEGRAM_BOT_TOKEN: '123456:ABCdef', TELEGRAM_API_URL: 'http://127.0.0.1:9/' }))
    await expect.poll(status, patient).toMatch(/^Disconnected Outage/)
    await platform.kubectl(['delete', 'secret', 'support-bot'])
    await expect.poll(status, patient).toBe('Error SecretMissing: there is no Secret support-bot')
    await platform.kubectl(['delete', 'clawinstance', 'support'])
    await expect
      .poll(() => platform.kubectl(['get', 'all', '-l', 'k8sclaw.io/channel', '-o', 'name']), patient)
      .toBe('')
  },
  300_000,
)
