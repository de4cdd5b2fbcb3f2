import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Bus, ensureChannelConsumer, ensureStreams } from '#core/bus'
import { publishSend, putSent, type SendItem } from '#core/channels'
import { putFile, usualFileLimits } from '#core/files'
import { createLogger } from '#core/telemetry'
import { startBoard } from '../../../test/services/board.ts'
import { startTelegram } from '../../../test/services/telegram.ts'
import { metricValues, startMetrics } from '../../../test/support/metrics.ts'
import { startNats, type TestNats } from '../../../test/support/nats.ts'
import { freePort } from '../../../test/support/ports.ts'
import { channel, Rig } from '../rig.test-support.ts'
import { channelServer } from './server.ts'

const patient = { timeout: 45_000, interval: 50 }
const long = { timeout: 120_000 }
const programs = join(import.meta.dirname, '..')
const run = { uid: 'uid-metrics', name: 'run-metrics' }
const address = { ...channel, uid: run.uid }

describe('a channel counts', () => {
  let nats: TestNats
  let controller: Bus
  let rig: Rig | undefined
  let metrics: string

  beforeEach(async () => {
    nats = await startNats()
    controller = await nats.connect({ kind: 'controller' })
    await ensureStreams(controller)
    await ensureChannelConsumer(controller, channel)
    metrics = `127.0.0.1:${await freePort()}`
  }, 60_000)
  afterEach(async () => {
    await rig?.close()
    await nats.close()
  })

  const start = async (program: string, env: Record<string, string>) => {
    rig = await Rig.make(nats, join(programs, program), env)
    await rig.start({ K8SCLAW_METRICS_LISTEN: metrics })
  }
  const counts = (prefix: string) => expect.poll(() => metricValues(metrics, prefix), patient)
  const say = (item: SendItem) => publishSend(controller, channel, item)
  const notice = (id: string, chat: string) => say({ type: 'notice', id, chat: { id: chat }, text: id })

  test('what it hears and says, what it holds, and what its service refuses', long, async () => {
    const board = await startBoard()
    try {
      await start('frame/testing/board-main.ts', board.env)
      board.say(board.chat(0), 'hello')
      await counts('k8sclaw_channel_received_total').toEqual({ '{result="stored"}': 1 })
      board.sayAgain()
      await counts('k8sclaw_channel_received_total').toEqual({ '{result="stored"}': 1, '{result="duplicate"}': 1 })

      const said: Record<string, number> = {}
      const hasSaid = async (type: string, result: string) => {
        said[`{type="${type}",result="${result}"}`] = 1
        await counts('k8sclaw_channel_said_total').toEqual(said)
      }
      await say({ type: 'reply', id: 'reply', chat: { id: board.chat(0) }, run, phase: 'Succeeded', text: 'Done.' })
      await hasSaid('reply', 'said')
      await putSent(await nats.connect({ kind: 'channel', channel }), channel, 'before', { messages: [], done: true })
      await notice('before', board.chat(0))
      await hasSaid('notice', 'repeated')
      board.leave(board.chat(1))
      await notice('gone', board.chat(1))
      await hasSaid('notice', 'never')
      await counts('k8sclaw_channel_refusals_total').toEqual({ '{refusal="never"}': 1 })

      board.flood(2)
      board.refuseMarkup(1)
      await notice('late', board.chat(2))
      await hasSaid('notice', 'said')
      const refused = { '{refusal="never"}': 1, '{refusal="later"}': 2, '{refusal="markup"}': 1 }
      await counts('k8sclaw_channel_refusals_total').toEqual(refused)

      await counts('k8sclaw_channel_held').toEqual({ '': 0 })
      board.outage(true)
      await notice('dark', board.chat(3))
      await counts('k8sclaw_channel_held').toEqual({ '': 1 })
      await counts('k8sclaw_channel_refusals_total').toMatchObject({ '{refusal="nothing"}': expect.any(Number) })
      board.outage(false)
      await counts('k8sclaw_channel_held').toEqual({ '': 0 })
    } finally {
      await board.close()
    }
  })

  test('the files that it brings, leaves out and hands over', long, async () => {
    const telegram = await startTelegram()
    try {
      const chat = telegram.direct(telegram.user('Ada'))
      const files = ['a.txt', 'b.exe'].map((name) => {
        const bytes = Buffer.from(name === 'a.txt' ? 'a' : '7f454c460201010000', name === 'a.txt' ? 'utf8' : 'hex')
        const { file_id: ref } = telegram.files.keep(name, 'text/plain', bytes)
        return { name, mimeType: 'text/plain', size: bytes.length, ref }
      })
      await start('telegram/main.ts', { TELEGRAM_BOT_TOKEN: telegram.token, TELEGRAM_API_URL: telegram.url })
      const place = { chat: { id: String(chat.id) }, run }
      await say({ type: 'fetch', id: 'files', ...place, files, limits: usualFileLimits })
      const brought = { '{direction="in",result="brought"}': 1, '{direction="in",result="type"}': 1 }
      await counts('k8sclaw_channel_files_total').toEqual(brought)
      const bridge = await nats.connect({ kind: 'bridge', run: address })
      const report = await putFile(bridge, address, 'agent', Buffer.from('%PDF-1.7 report'))
      const handed = { name: 'report.pdf', type: 'application/pdf', ...report }
      await say({ type: 'reply', id: 'reply', ...place, phase: 'Succeeded', text: 'Here.', files: [handed] })
      await counts('k8sclaw_channel_files_total').toEqual({ ...brought, '{direction="out",result="handed"}': 1 })
    } finally {
      await telegram.close()
    }
  })
})

test('a channel counts the requests to its address by the status they were answered with', async () => {
  const log = createLogger('channel-metrics-test')
  log.level = 'silent'
  const metrics = await startMetrics()
  const server = channelServer({ webhook: async () => ({ status: 202 }), maxWebhookBytes: 10 }, () => true, log)
  try {
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/webhook`
    for (const body of ['short', 'short', 'longer than that']) await (await fetch(url, { method: 'POST', body })).text()
    const counted = await metrics.values('k8sclaw_channel_webhook_requests_total')
    expect(counted).toEqual({ '{status="202"}': 2, '{status="413"}': 1 })
  } finally {
    server.closeAllConnections()
    server.close()
    await metrics.close()
  }
})
