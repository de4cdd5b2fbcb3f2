/**
 * What every channel that carries files must do with them, run as the rest of its conformance is: its own program, a real
 * bus, a stand-in of its service. The test plays the controller and the bridge.
 */
import { createHash, randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Bus, ensureChannelConsumer, ensureStreams } from '#core/bus'
import { type Attachment, publishSend, type Received, receivedMessages } from '#core/channels'
import { type BroughtFile, getFile, getFileList, putFile, usualFileLimits } from '#core/files'
import { startNats, type TestNats } from '../../test/support/nats.ts'
import type { StandIn } from './conformance.test-support.ts'
import { channel, Rig } from './rig.test-support.ts'

/** A service with files, as a test plays it. */
export interface FileStandIn extends Pick<StandIn, 'env' | 'chat' | 'outage' | 'shown' | 'close'> {
  /** The person sends a file with these words; `told` is what the service says of its size. */
  attach(chat: string, text: string, file: { name: string; type: string; bytes: Buffer; told?: number }): void
  /** The service has none of the files any more. */
  forgetFiles(): void
  /** Files that the bot has sent there, in order. */
  files(chat: string): { name: string; bytes: Buffer }[]
  swallowAnswer(): Promise<void>
}

const patient = { timeout: 30_000, interval: 25 }
const run = { uid: 'uid-files', name: 'run-files' }
const address = { ...channel, uid: run.uid }
const png = Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), randomBytes(100_000)])
const program = Buffer.from('7f454c460201010000', 'hex')

/** Runs the suite; to be called in a test file. */
export function carriesFiles(what: { program: string; standIn: () => Promise<FileStandIn> }): void {
  let nats: TestNats
  let controller: Bus
  let bridge: Bus
  let service: FileStandIn
  let rig: Rig
  let stop: AbortController
  let inbox: Received[]

  beforeEach(async () => {
    nats = await startNats()
    controller = await nats.connect({ kind: 'controller' })
    await ensureStreams(controller)
    await ensureChannelConsumer(controller, channel)
    bridge = await nats.connect({ kind: 'bridge', run: address })
    service = await what.standIn()
    rig = await Rig.make(nats, what.program, service.env)
    stop = new AbortController()
    inbox = []
    void read()
    await rig.start()
  })
  afterEach(async () => {
    stop.abort()
    await rig.close()
    await service.close()
    await nats.close()
  })

  async function read() {
    for await (const { value, message } of receivedMessages(controller, stop.signal)) {
      inbox.push(value)
      message.ack()
    }
  }
  const attachments = () => inbox.flatMap((message) => message.attachments)
  const arrived = (count: number) => expect.poll(() => attachments().length, patient).toBe(count)
  const fetchable = () => attachments().filter((file): file is Attachment & { ref: string } => file.ref !== undefined)
  const fetch = (chat: string, limits = usualFileLimits, room?: number) =>
    publishSend(controller, channel, {
      ...{ type: 'fetch', id: 'files', chat: { id: chat }, run, limits },
      ...(room !== undefined && { room }),
      files: fetchable(),
    })
  const list = async (): Promise<BroughtFile[]> => {
    await expect.poll(() => getFileList(bridge, address, channel), patient).toBeDefined()
    return (await getFileList(bridge, address, channel)) ?? []
  }

  describe('files', { timeout: 90_000 }, () => {
    test('that come with a message are fetched when the run wants them, and lie on the bus by their hash', async () => {
      const chat = service.chat(0)
      service.attach(chat, 'look', { name: 'photo of us.png', type: 'image/png', bytes: png })
      service.attach(chat, 'and read', { name: '../../notes.md', type: 'text/markdown', bytes: Buffer.from('# Notes') })
      await arrived(2)
      await fetch(chat)
      const [picture, notes] = await list()
      const sha256 = createHash('sha256').update(png).digest('hex')
      expect(picture).toMatchObject({ type: 'image/png', size: png.length, sha256 })
      expect(notes).toMatchObject({ name: 'notes.md', size: 7 })
      if (!picture || 'leftOut' in picture) throw new Error('no picture')
      expect((await getFile(bridge, address, channel, picture))?.equals(png)).toBe(true)
      expect(service.shown(chat)).toEqual([])
    })

    test('that are too large, no matter what was said of them, of another kind, or gone are left out, and that is said', async () => {
      const chat = service.chat(0)
      const large = randomBytes(200_000)
      service.attach(chat, 'a', { name: 'large.png', type: 'image/png', bytes: large })
      service.attach(chat, 'b', { name: 'lie.png', type: 'image/png', bytes: large, told: 10 })
      service.attach(chat, 'c', { name: 'fine.exe.txt', type: 'text/plain', bytes: program })
      service.attach(chat, 'd', { name: 'fine.txt', type: 'text/plain', bytes: Buffer.from('fine') })
      await arrived(4)
      await fetch(chat, { ...usualFileLimits, maxBytes: 150_000 })
      expect(await list()).toMatchObject([
        { leftOut: 'too_large' },
        { leftOut: 'too_large' },
        { leftOut: 'type' },
        { name: 'fine.txt', size: 4 },
      ])
      await expect
        .poll(() => service.shown(chat).join('\n'), patient)
        .toMatch(/large\.png.*too large[\s\S]*lie\.png.*too large[\s\S]*fine\.exe\.txt.*kind/)
      expect(service.shown(chat)).toHaveLength(1)
    })

    test('that have no room together are left out, and that is said', async () => {
      const chat = service.chat(0)
      for (const name of ['a.txt', 'b.txt'])
        service.attach(chat, name, { name, type: 'text/plain', bytes: Buffer.from(name) })
      await arrived(2)
      await fetch(chat, usualFileLimits, 512 * 1024)
      expect(await list()).toMatchObject([
        { name: 'a.txt', size: 5 },
        { name: 'b.txt', leftOut: 'full' },
      ])
      await expect.poll(() => service.shown(chat).join('\n'), patient).toMatch(/b\.txt.*no room for files/)
    })

    test('that the service has no more are left out, and that is said', async () => {
      const chat = service.chat(0)
      service.attach(chat, 'a', { name: 'a.txt', type: 'text/plain', bytes: Buffer.from('a') })
      await arrived(1)
      service.forgetFiles()
      await fetch(chat)
      expect(await list()).toEqual([{ name: 'a.txt', leftOut: 'gone' }])
      await expect.poll(() => service.shown(chat).join('\n'), patient).toMatch(/a\.txt/)
    })

    test('are fetched again where the service was away, or the channel was killed meanwhile', async () => {
      const chat = service.chat(0)
      service.attach(chat, 'a', { name: 'a.txt', type: 'text/plain', bytes: Buffer.from('a') })
      await arrived(1)
      service.outage(true)
      await fetch(chat)
      await rig.said('file not fetched yet')
      await rig.kill9()
      service.outage(false)
      await rig.start()
      expect(await list()).toMatchObject([{ name: 'a.txt', size: 1 }])
    })

    test('that the agent hands over follow the text, once each, also behind a channel that was killed', async () => {
      const chat = service.chat(0)
      const report = Buffer.from('%PDF-1.7 report')
      const files = [
        { name: 'report.pdf', type: 'application/pdf', ...(await putFile(bridge, address, 'agent', report)) },
        { name: 'gone.pdf', type: 'application/pdf', size: 3, sha256: '0'.repeat(64) },
        { name: 'chart.png', type: 'image/png', ...(await putFile(bridge, address, 'agent', png)) },
      ]
      const reply = { type: 'reply', id: 'reply', chat: { id: chat }, run, phase: 'Succeeded' } as const
      await publishSend(controller, channel, { ...reply, text: 'Here they are.', files })
      await expect.poll(() => service.files(chat).length, patient).toBe(2)
      expect(service.files(chat)[0]).toMatchObject({ name: 'report.pdf' })
      expect(service.files(chat)[0]?.bytes.equals(report)).toBe(true)
      expect(service.files(chat)[1]?.bytes.equals(png)).toBe(true)
      expect(service.shown(chat).filter(Boolean)).toEqual(['Here they are.', expect.stringContaining('gone.pdf')])
      const subject = '$JS.API.CONSUMER.INFO.CHANNEL_SEND.team_helper_chat-send'
      const unsaid = async () => {
        const counts = (await controller.request(subject, '')).json<{ num_pending: number; num_ack_pending: number }>()
        return counts.num_pending + counts.num_ack_pending
      }
      await expect.poll(unsaid, patient).toBe(0)
      await rig.kill9()
      await rig.start()
      await publishSend(controller, channel, { ...reply, id: 'reply-again', text: 'Here they are.', files })
      await expect.poll(unsaid, patient).toBe(0)
      expect(service.files(chat)).toHaveLength(2)
    })
  })
}
