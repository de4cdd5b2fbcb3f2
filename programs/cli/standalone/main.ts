/**
 * The process behind `k8sclaw up`: localkube with the platform on it. `k8sclaw up` starts it with an IPC channel and
 * hears exactly one message, `ready` or `failed`; from then on it lives until SIGTERM or SIGINT.
 */
import { parseArgs } from 'node:util'
import { createLogger, onShutdown } from '#core/telemetry'
import { sentence } from '../sentence.ts'
import type { UpMessage } from '../up-message.ts'
import { type Platform, startPlatform } from './platform.ts'

const { values } = parseArgs({
  options: {
    root: { type: 'string' },
    'data-dir': { type: 'string' },
    port: { type: 'string' },
    unconfined: { type: 'boolean', default: false },
  },
})
const log = createLogger('localkube')
let platform: Platform | undefined
const signal = onShutdown(log, async () => platform?.close(), 20_000)

try {
  platform = await startPlatform({
    root: values.root ?? '',
    dataDir: values['data-dir'] ?? '',
    ...(values.port === undefined ? {} : { port: Number(values.port) }),
    unconfined: values.unconfined,
    log: (level, message, fields) => log[level](fields, message),
    signal,
  })
  const { url, token, kubeconfig, isolation, isolationReason, recovered } = platform
  tell({ type: 'ready', pid: process.pid, url, token, kubeconfig, isolation, isolationReason, recovered })
} catch (error) {
  log.error({ err: error }, 'starting failed')
  tell({ type: 'failed', message: sentence(error) })
  process.exitCode = 1
  if (!process.send) process.stderr.write(`k8sclaw: ${sentence(error)}\n`)
  setTimeout(() => process.exit(1), 1000).unref()
}

function tell(message: UpMessage): void {
  process.send?.(message, undefined, undefined, () => process.disconnect?.())
}
