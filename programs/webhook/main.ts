import { loadKube } from '#core/kube'
import { createLogger, onShutdown } from '#core/telemetry'
import { serveWebhook, type Webhook } from './serve.ts'
import { readSettings } from './settings.ts'

const settings = readSettings(process.env)
if ('error' in settings) {
  process.stderr.write(`k8sclaw-webhook: ${settings.error}\n`)
  process.exit(2)
}

const log = createLogger('webhook')
let webhook: Webhook | undefined
const signal = onShutdown(log, async () => await webhook?.done)
try {
  webhook = await serveWebhook({ ...settings, kube: await loadKube(), log, signal })
  log.info(settings.listen, 'serving')
} catch (error) {
  log.fatal({ err: error }, 'start failed')
  process.exit(1)
}
