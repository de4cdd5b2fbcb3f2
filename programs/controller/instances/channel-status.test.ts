import { expect, test } from 'vitest'
import type { Channel } from '#core/kinds'
import type { ContainerStatus, Pod } from '#core/kube'
import { channelStatus } from './channel-status.ts'

type ContainerState = NonNullable<ContainerStatus['state']>

const channel: Channel = {
  name: 'chat',
  type: 'telegram',
  secretRef: { name: 'bot' },
  access: { mode: 'pairing', groups: 'mention' },
}
const now = new Date('2026-11-23T12:00:00Z')
const heard = { state: 'Connected', reason: 'Connected', message: '', at: now } as const
const deployment = { metadata: { creationTimestamp: '2026-11-23T11:00:00Z' } }

const ended = (exitCode: number, message = ''): ContainerState => ({ terminated: { exitCode, message } })
const held: ContainerState = { waiting: { reason: 'CrashLoopBackOff' } }

const cases: { of: string; state: ContainerState; lastState?: ContainerState; told: object }[] = [
  { of: 'runs', state: { running: {} }, told: { state: 'Connected' } },
  {
    of: 'runs, after it ended with an error',
    state: { running: {} },
    lastState: ended(1),
    told: { state: 'Connected' },
  },
  { of: 'has ended in order', state: ended(0), told: { state: 'Pending', reason: 'Starting' } },
  { of: 'ended in order and is held back', state: held, lastState: ended(0), told: { state: 'Pending' } },
  {
    of: 'has ended with an error',
    state: ended(1, 'before\nlast'),
    told: { state: 'Error', reason: 'Ended', message: expect.stringMatching(/with 1: last$/) },
  },
  { of: 'ended with an error and is held back', state: held, lastState: ended(1), told: { state: 'Error' } },
]

test.each(cases)('of a channel whose program $of', ({ state, lastState, told }) => {
  const container = { name: 'channel', image: 'i', imageID: '', ready: false, restartCount: 0, state }
  const pod: Pod = {
    ...{
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p' },
      spec: { containers: [{ name: 'channel', image: 'i' }] },
    },
    status: { containerStatuses: [{ ...container, ...(lastState && { lastState }) }] },
  }
  expect(channelStatus({ channel, trouble: undefined, deployment, pod, heard }, undefined, now)).toMatchObject(told)
})
