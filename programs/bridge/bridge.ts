import type { Server } from 'node:http'
import { type Bus, connectBus, tradeIdentity, watchPolicy } from '#core/bus'
import { roomOfRun } from '#core/files'
import { type Conversation, openJournal, receiveIn, type TaskMessage } from '#core/journal'
import { type PolicyInForce, readPolicyInForce } from '#core/policy'
import type { Logger } from '#core/telemetry'
import { takeAttachments } from './attachments.ts'
import { Gateway } from './gateway-client.ts'
import { handedOver, handOverPerformer } from './hand-over.ts'
import { askHistory } from './history.ts'
import { modelProxy } from './proxy.ts'
import { openIpc, Run, startedAt } from './run.ts'
import { binsOfSandbox, sandboxPerformer } from './sandbox-client.ts'
import { workspaceOf } from './sandbox-files.ts'
import type { Settings } from './settings.ts'
import { prepareSkills } from './skills.ts'
import { type SummariseOptions, summarise, withSummary } from './summary.ts'

/** How long the bus is kept, once the bridge is told to stop, for what it still has to record. */
const lastWordsMs = 3_000

/** Runs the bridge of one run until `stopping` aborts and the last of it is recorded. */
export async function runBridge(settings: Settings, log: Logger, stopping: AbortSignal): Promise<void> {
  const ipc = openIpc(settings.ipcDir)
  const identity = tradeIdentity(settings.identity)
  const gateway = new Gateway(settings.gatewayUrl, settings.trust, () => identity.runToken())
  let run: Run | undefined
  const server = modelProxy({ listen: settings.listen, key: settings.key, gateway, log, run: () => run })
  const life = new AbortController()
  const end = () => setTimeout(() => life.abort(), run ? lastWordsMs : 0).unref()
  stopping.addEventListener('abort', end, { once: true })
  try {
    await listen(server, settings.listen)
    const bus = await connectBus({
      url: settings.busUrl,
      trust: settings.trust,
      credentials: identity.credentials,
      name: 'bridge',
      signal: life.signal,
      log,
    })
    run = await beginRun(settings, { bus, gateway, ipc, signal: life.signal, log })
    log.info({ run: settings.run.uid, namespace: settings.run.namespace }, 'serving')
    await Promise.all([run.serve(stopping), receive(run, bus, settings, stopping)])
    await run.stop()
  } catch (thrown) {
    if (!stopping.aborted) throw thrown
  } finally {
    life.abort()
    gateway.close()
    server.close()
    server.closeAllConnections()
    for (const folder of Object.values(ipc)) folder.close()
  }
}

interface Surroundings {
  bus: Bus
  gateway: Gateway
  ipc: ReturnType<typeof openIpc>
  signal: AbortSignal
  log: Logger
}

async function beginRun(
  { run: address, attempt, skillsDir, skillFolders, sandboxSocket }: Settings,
  { bus, gateway, ipc, signal, log }: Surroundings,
): Promise<Run> {
  const journal = await openJournal(bus, address, attempt, { signal })
  const sent = journal.inbox.find((message) => message.type === 'task')
  const first = sent ?? (await firstTask(bus, address, signal))
  if (first.task.uid !== address.uid) throw new Error(`the task is that of run ${first.task.uid}`)
  const performTool = sandboxSocket === undefined ? undefined : sandboxPerformer(sandboxSocket)
  const begun = startedAt(ipc.input) !== undefined
  const skills = begun
    ? undefined
    : await prepareSkills(first.effective.skills ?? [], skillFolders, binsOfSandbox(sandboxSocket))
  const workspace = sandboxSocket === undefined ? undefined : workspaceOf(sandboxSocket)
  const { chat } = first
  const attachments = begun || !chat ? undefined : await takeAttachments({ bus, address, chat, workspace, signal, log })
  const handed = () => handedOver(journal.entries)
  const room = chat?.room ?? roomOfRun
  const handOver = chat && workspace && handOverPerformer({ bus, address, limits: chat.files, room, workspace, handed })
  const asking = { journal, attempt, gateway, bus, address, first, signal }
  const history = begun || first.task.sessionKey === undefined ? undefined : await conversationOf(asking)
  const inForce = await followPolicy(bus, address.namespace, first.effective.policy.name, signal)
  return new Run({
    ...{ address, attempt, first, journal, bus, gateway, ipc, skillsDir, skills, attachments, history, inForce },
    ...{ performTool, handOver, log },
  })
}

/** What was said before, its beginning as a summary where it does not fit. */
async function conversationOf(options: SummariseOptions): Promise<Conversation> {
  const told = await askHistory(options)
  return withSummary(told, await summarise(options, told))
}

/** The policy of a run as it is now, kept in memory. A run that no policy bound is under the restricted one for good. */
async function followPolicy(bus: Bus, namespace: string, name: string, signal: AbortSignal) {
  let inForce: PolicyInForce | undefined
  if (name !== '') {
    await watchPolicy(bus, { namespace, name }, signal, (value) => {
      inForce = readPolicyInForce(value)
    })
  }
  return () => inForce
}

/** The task, once it is sent. It is left unacknowledged: `receive` does that. */
async function firstTask(bus: Bus, run: Settings['run'], signal: AbortSignal): Promise<TaskMessage> {
  const found = new AbortController()
  for await (const { message } of receiveIn(bus, run, AbortSignal.any([signal, found.signal]))) {
    if (message.type !== 'task') continue
    found.abort()
    return message
  }
  throw new Error('stopped before there was a task')
}

/** What is sent into the run after its task; each is acknowledged when its effect is recorded. */
async function receive(run: Run, bus: Bus, settings: Settings, signal: AbortSignal): Promise<void> {
  for await (const { message, ack } of receiveIn(bus, settings.run, signal)) {
    if (message.type !== 'cancel') {
      // The task is read at the start; an answer stays in the record, where a bridge that was restarted finds it.
      if (message.type === 'answer') run.elsewhere.answered(message)
      // It stands in the record as well; whether the agent takes it up that says.
      if (message.type === 'message') run.say(message)
      ack()
    } else {
      run.cancel(message.reason, message.graceSeconds)
      void run.ended().then(ack)
    }
  }
}

function listen(server: Server, { host, port }: Settings['listen']): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
}
