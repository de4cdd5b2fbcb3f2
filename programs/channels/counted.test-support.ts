/** A channel's own program on a real bus until its test is over, and what it has counted. */
import { onTestFinished } from 'vitest'
import { ensureChannelConsumer, ensureStreams } from '#core/bus'
import { metricValues } from '../../test/support/metrics.ts'
import { startNats } from '../../test/support/nats.ts'
import { freePort } from '../../test/support/ports.ts'
import { channel, Rig } from './rig.test-support.ts'

export interface Counted {
  rig: Rig
  /** What it has heard, by what became of it. */
  received(): Promise<Record<string, number>>
  /** Requests to its address, by the status of the answer. */
  answered(): Promise<Record<string, number>>
}

export async function startCounted(program: string, env: Record<string, string>): Promise<Counted> {
  const nats = await startNats()
  onTestFinished(() => nats.close())
  const controller = await nats.connect({ kind: 'controller' })
  await ensureStreams(controller)
  await ensureChannelConsumer(controller, channel)
  const rig = await Rig.make(nats, program, env)
  onTestFinished(() => rig.close())
  const metrics = `127.0.0.1:${await freePort()}`
  await rig.start({ K8SCLAW_METRICS_LISTEN: metrics })
  return {
    rig,
    received: () => metricValues(metrics, 'k8sclaw_channel_received_total'),
    answered: () => metricValues(metrics, 'k8sclaw_channel_webhook_requests_total'),
  }
}
