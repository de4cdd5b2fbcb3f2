/**
 * The built-in agent: reads its task from /ipc, asks its model through the bridge, has tools performed through files, and
 * writes a result. It promises to end by itself, at its deadline or when it is told to; it holds nothing, and whatever it
 * is told by a model it can only ask for.
 */
import { errorMessage } from '#core/errors'
import { settingsOrExit } from '#core/settings'
import { Mailbox } from './mailbox.ts'
import { readSettings } from './settings.ts'

const settings = settingsOrExit('agent', readSettings)
// Warnings of the library would go to standard output; the run's record is the journal.
Object.assign(globalThis, { AI_SDK_LOG_WARNINGS: false })

// As the first process of its container it would otherwise ignore the signal and be waited for.
process.once('SIGTERM', () => process.exit(143))

const mailbox = new Mailbox(settings.ipcDir)
const ended = new AbortController()
const stopped = new AbortController()
try {
  const [{ work, resultOf, Stopped }, task] = await Promise.all([library(), mailbox.task(ended.signal)])
  const stop = (reason: InstanceType<typeof Stopped>) => stopped.abort(reason)
  const seconds = task.limits.timeoutSeconds
  const timer = setTimeout(() => stop(new Stopped('timeout', `not done after ${seconds} s`)), seconds * 1000)
  const watching = [
    mailbox.deliver(ended.signal),
    mailbox.cancellation(ended.signal).then((cancel) => cancel && stop(new Stopped('cancelled', cancel.reason))),
  ]
  const broken = Promise.all(watching).then(() => new Promise<never>(() => {}))
  const { signal } = stopped
  const result = await Promise.race([work({ task, settings, mailbox, signal }), broken]).catch((error: unknown) =>
    resultOf(error, signal),
  )
  mailbox.finish(result)
  clearTimeout(timer)
} catch (error) {
  process.stderr.write(`k8sclaw-agent: ${errorMessage(error)}\n`)
  process.exitCode = 1
} finally {
  ended.abort()
  mailbox.close()
}
// Connections and timers of a call that was given up must not keep the pod.
process.exit()

/** The library, and Node's fetch, which is made at its first use: both while the bridge still prepares the task. */
async function library() {
  const { work, resultOf, Stopped } = await import('./loop.ts')
  await fetch('data:,')
  return { work, resultOf, Stopped }
}
