import { beforeEach, expect, test, vi } from 'vitest'
import { type Bus, ensureStreams } from '#core/bus'
import { putSent, type Received, sentOfRun } from '#core/channels'
import { getFile, putFile, storedFiles } from '#core/files'
import type { AgentRun } from '#core/kinds'
import { FileRoom } from './file-room.ts'
import {
  connectChannel,
  createInstance,
  ends,
  namespace,
  nats,
  runsOf,
  startRouter,
  untilRuns,
  useRouter,
  wait,
} from './rig.test-support.ts'
import { turnRun } from './turn.ts'

useRouter()

const MiB = 1024 * 1024
const bounds = { instance: 8 * MiB, namespace: 12 * MiB }
const file = (size: number) => ({ name: 'a.bin', mimeType: 'text/plain', size, ref: 'ref' })

let controller: Bus
let runs: AgentRun[]
beforeEach(async () => {
  controller = await nats.connect({ kind: 'controller' })
  await ensureStreams(controller)
  runs = []
})

/** Runs as the cache shows them, some seconds from now: this process made them. */
const cache = () => ({
  byIndex: (index: string, key: string) =>
    runs.filter(({ metadata, status }) =>
      index === 'uid' ? metadata.uid === key : metadata.namespace === key && status?.phase === 'Running',
    ),
})
const roomOf = (told?: number) =>
  new FileRoom({ bus: controller, runs: cache() as never, toldBefore: () => told, bounds })
let count = 0
function run(sizes: number[], { instance = 'helper', secondsOld = -60 } = {}): AgentRun {
  const said = {
    ...{ text: 'look', sequence: ++count },
    message: {
      id: `m${count}`,
      sender: { id: 'U1' },
      chat: { kind: 'direct' },
      attachments: sizes.map(file),
    } as Received,
  }
  const place = { namespace, instance, channel: 'chat', chat: 'c1' }
  const unborn = turnRun(place, [said], { since: undefined })
  const creationTimestamp = new Date(Date.now() - secondsOld * 1000).toISOString()
  const made = {
    ...unborn,
    metadata: { ...unborn.metadata, uid: `${namespace}-${count}`, creationTimestamp },
  } as AgentRun
  made.status = { phase: 'Running', effective: { sandbox: { enabled: true } } } as NonNullable<AgentRun['status']>
  runs.push(made)
  return made
}
const addressOf = ({ metadata }: AgentRun, instance = 'helper') => ({ namespace, instance, uid: metadata.uid ?? '' })

test('a run may be brought what it wants, and together they stay within what their instance has', async () => {
  const room = roomOf()
  const promised = await Promise.all(Array.from({ length: 5 }, () => room.toBring(run([3 * MiB]))))
  expect(promised.toSorted((a, b) => b - a)).toEqual([3 * MiB, 3 * MiB, 2 * MiB, 0, 0])
  // Others of the namespace are not shut out by it, but for what the namespace has.
  expect(await room.toBring(run([6 * MiB], { instance: 'other' }))).toBe(4 * MiB)
})

test('asking again promises nothing more, and the end of a run gives its promise back', async () => {
  const room = roomOf()
  const first = run([8 * MiB])
  expect(await room.toBring(first)).toBe(8 * MiB)
  expect(await room.toBring(first)).toBe(8 * MiB)
  expect(await room.toBring(run([MiB]))).toBe(0)
  if (first.status) first.status.phase = 'Succeeded'
  expect(await room.toBring(run([MiB]))).toBe(MiB)
})

test('a run may hand over a part of what is left, so that all that are at work may', async () => {
  const room = roomOf()
  const shares = await Promise.all(Array.from({ length: 20 }, () => room.toHandOver(run([]))))
  expect(shares[0]).toBe(2 * MiB)
  expect(Math.min(...shares)).toBeGreaterThan(0)
  expect(shares.reduce((sum, one) => sum + one, 0)).toBeLessThanOrEqual(bounds.instance)
})

test('what an earlier process may have promised is kept free', async () => {
  run([3 * MiB], { secondsOld: 60, instance: 'other' })
  // It may hand over more than the namespace has.
  expect(await roomOf().toBring(run([MiB]))).toBe(0)
  // Its Job tells how much of that it was.
  expect(await roomOf(MiB).toBring(run([4 * MiB]))).toBe(4 * MiB)
})

test('what lies in the store takes room until its channel has sent it', async () => {
  const at = { namespace, instance: 'helper', channel: 'chat' }
  const over = run([])
  const bridge = await nats.connect({ kind: 'bridge', run: addressOf(over) })
  const channel = await nats.connect({ kind: 'channel', channel: at })
  const stored = await putFile(bridge, addressOf(over), 'agent', Buffer.alloc(6 * MiB, 'x'))
  expect(await storedFiles(controller, namespace)).toEqual([{ ...addressOf(over), bytes: 6 * MiB }])
  if (over.status) over.status.phase = 'Succeeded'
  expect(await roomOf().toBring(run([4 * MiB]))).toBe(2 * MiB)
  expect((await getFile(channel, addressOf(over), 'agent', stored))?.length).toBe(6 * MiB)
  await putSent(channel, at, sentOfRun(addressOf(over).uid), { messages: ['1'], done: true })
  expect(await roomOf().toBring(run([4 * MiB]))).toBe(4 * MiB)
  expect(await getFile(channel, addressOf(over), 'agent', stored)).toBeUndefined()
})

test('the channel is told how much room there is, with what it is to fetch', async () => {
  await createInstance()
  const channel = await connectChannel()
  await startRouter()
  await channel.say('look', { attachments: [file(MiB), file(100)] })
  const [made] = await untilRuns(1)
  await vi.waitFor(
    () => expect(channel.items.find(({ type }) => type === 'fetch')).toMatchObject({ room: 1.5 * MiB }),
    wait,
  )
  if (made) await ends(made)
  expect(await runsOf()).toHaveLength(1)
})
