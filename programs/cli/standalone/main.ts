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
let starting: Promise<Platform> | undefined
let told: Promise<void> | undefined
const signal = onShutdown(log, stop, 20_000)

try {
  starting = startPlatform({
    root: values.root ?? '',
    dataDir: values['data-dir'] ?? '',
    ...(values.port === undefined ? {} : { port: Number(values.port) }),
    unconfined: values.unconfined,
    log: (level, message, fields) => log[level](fields, message),
    signal,
  })
  const { url, token, kubeconfig, isolation, isolationReason, recovered } = await starting
  told = tell({ type: 'ready', pid: process.pid, url, token, kubeconfig, isolation, isolationReason, recovered })
} catch (error) {
  log.error({ err: error }, 'starting failed')
  told = tell({ type: 'failed', message: sentence(error) })
  process.exitCode = 1
  if (!process.send) process.stderr.write(`k8sclaw: ${sentence(error)}\n`)
  setTimeout(() => process.exit(1), 1000).unref()
}

/** Told to stop while it starts, it first undoes what it has started, and says so. */
async function stop(): Promise<void> {
  const platform = await starting?.catch(() => undefined)
  await platform?.close()
  await told
}

function tell(message: UpMessage): Promise<void> {
  return new Promise((done) => {
    if (!process.send) return done()
    process.send(message, undefined, undefined, () => {
      process.disconnect?.()
      done()
    })
  })
}
