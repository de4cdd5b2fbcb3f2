/**
 * The bridge: the boundary of one run, beside its agent. Whatever the agent wants from the world it asks for here, by
 * file or in its model's own wire format; each call is judged, recorded, performed, recorded. It holds the run's
 * identity and nothing else; it refuses to perform what is not in the record.
 */
import { settingsOrExit } from '#core/settings'
import { createLogger, onShutdown } from '#core/telemetry'
import { runBridge } from './bridge.ts'
import { readSettings } from './settings.ts'

const settings = settingsOrExit('bridge', readSettings)
// What is made in /ipc is for the group, which is the agent's too, and for nobody else.
process.umask(0o007)

const log = createLogger('bridge')
const running: { done: Promise<void> } = { done: Promise.resolve() }
const stopping = onShutdown(log, () => running.done, 4_500)
running.done = runBridge(settings, log, stopping)
running.done.catch((error: unknown) => {
  log.fatal({ err: error, run: settings.run.uid }, 'cannot go on')
  process.exit(1)
})
