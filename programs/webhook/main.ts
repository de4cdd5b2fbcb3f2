/**
 * The webhook: admission for the four kinds, over TLS with a certificate that it keeps itself. It promises to refuse what
 * could never run, naming the field; it refuses to change anything that is written.
 */
import { loadKube } from '#core/kube'
import { settingsOrExit } from '#core/settings'
import { createLogger, onShutdown, serveMetrics } from '#core/telemetry'
import { serveWebhook, type Webhook } from './serve.ts'
import { readSettings } from './settings.ts'

const settings = settingsOrExit('webhook', readSettings)

const log = createLogger('webhook')
let webhook: Webhook | undefined
const signal = onShutdown(log, async () => await webhook?.done)
process.once('SIGTERM', () => webhook?.leave())
const { metrics, ...serving } = settings
try {
  await serveMetrics(metrics, log)
  webhook = await serveWebhook({ ...serving, kube: await loadKube(), log, signal })
  log.info(settings.listen, 'serving')
} catch (error) {
  log.fatal({ err: error }, 'start failed')
  process.exit(1)
}
