import { afterAll, beforeAll, expect, test } from 'vitest'
import { startMetrics, type TestMetrics } from '../../../test/support/metrics.ts'
import {
  connectChannel,
  createInstance,
  createNamespace,
  namespace,
  startRouter,
  untilRuns,
  useRouter,
  wait,
} from './rig.test-support.ts'

let metrics: TestMetrics
beforeAll(async () => {
  metrics = await startMetrics()
})
useRouter()
afterAll(() => metrics.close())

test('messages are counted by what the router did with them', async () => {
  await createInstance({ mode: 'pairing', allow: ['U1'] })
  const closed = await createNamespace()
  await createInstance({ mode: 'allowlist', allow: ['U1'] }, closed)
  const gone = await createNamespace()
  await startRouter()
  const chat = await connectChannel()
  const stranger = {
    chat: { id: 'c2', kind: 'direct' as const },
    sender: { id: 'U2', name: 'Eve', kind: 'person' as const },
  }
  await chat.say('Hello.', { id: 'hello' })
  await untilRuns(1, namespace)
  // The service delivers again what is a run already.
  await chat.say('Hello.', { id: 'hello' })
  await chat.say('/status')
  await chat.say('Let me in.', stranger)
  await expect.poll(() => chat.told('c2'), wait).toHaveLength(1)
  await chat.say('Please.', stranger)
  await (await connectChannel(closed)).say('Let me in.', stranger)
  await (await connectChannel(gone)).say('Is anybody there?')
  await expect
    .poll(() => metrics.values('k8sclaw_channel_messages_total'), wait)
    .toEqual({
      '{step="turn"}': 1,
      '{step="known"}': 1,
      '{step="command"}': 1,
      '{step="pair"}': 1,
      '{step="ignore"}': 1,
      '{step="refuse"}': 1,
      '{step="no channel"}': 1,
    })
})
