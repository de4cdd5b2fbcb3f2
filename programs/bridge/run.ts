import { closeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bus } from '#core/bus'
import { isClawError } from '#core/errors'
import type { RunAddress } from '#core/identity'
import { Folder, isToolName, tools, watchFolder } from '#core/ipc'
import {
  type Call,
  type Conversation,
  embeddingCall,
  type FollowupMessage,
  followupsTaken,
  historyCall,
  type Journal,
  publishLive,
  summaryCall,
  type TaskMessage,
  writeOutcome,
} from '#core/journal'
import type { PolicyInForce } from '#core/policy'
import type { Logger } from '#core/telemetry'
import { Answers } from './answers.ts'
import type { Attachments } from './attachments.ts'
import { Boundary, type Performed, runEnded } from './boundary.ts'
import { Elsewhere } from './elsewhere.ts'
import { Embedder } from './embeddings.ts'
import { type Ended, Ending } from './ending.ts'
import { Followups, takesFollowup } from './followups.ts'
import type { Gateway } from './gateway-client.ts'
import { handedOver } from './hand-over.ts'
import { Mailbox } from './mailbox.ts'
import type { Limits } from './model-calls.ts'
import { Output } from './output.ts'
import type { PreparedSkills } from './skills.ts'
import { type Performers, taskForAgent, toolCrossing } from './tool-calls.ts'

/** The folders of /ipc as the bridge makes them; the agent's user is in their group. */
export interface IpcFolders {
  input: Folder
  results: Folder
  tools: Folder
  output: Folder
}

export function openIpc(ipcDir: string): IpcFolders {
  return {
    input: Folder.make(`${ipcDir}/input`, 0o2750),
    results: Folder.make(`${ipcDir}/input/results`, 0o2750),
    tools: Folder.make(`${ipcDir}/tools`, 0o2770),
    output: Folder.make(`${ipcDir}/output`, 0o2770),
  }
}

/** When a bridge wrote the task, milliseconds since 1970: the start of the run. */
export function startedAt(input: Folder): number | undefined {
  return writtenAt(input, 'task.json')
}

function writtenAt(input: Folder, name: string): number | undefined {
  const there = input.openFile(name)
  if (typeof there === 'string') return undefined
  closeSync(there.descriptor)
  return there.modifiedMs
}

export interface RunOptions {
  address: RunAddress
  attempt: number
  first: TaskMessage
  journal: Journal
  bus: Bus
  gateway: Gateway
  ipc: IpcFolders
  skillsDir: string
  /** Absent where an earlier bridge wrote the task. */
  skills: PreparedSkills | undefined
  /** What was said before in the conversation of the run; absent where there is none, or it stands in task.json. */
  history: Conversation | undefined
  /** The policy of the run as it is now, as far as anything is known of it. */
  inForce: () => PolicyInForce | undefined
  /** What came with the task; absent where an earlier bridge wrote that. */
  attachments: Attachments | undefined
  /** Absent where the run has no sandbox. */
  performTool: Performers['sandbox']
  /** Absent where the run has no sandbox, or answers no chat. */
  handOver: Performers['handOver']
  log: Logger
}

/** How long, at its end, a run waits for model calls of which only the cost is missing. */
const settleMs = 250

/** One run in the hands of its bridge: from its task to its outcome, and closed from there on. */
export class Run {
  readonly boundary: Boundary
  readonly limits: Limits & { timeoutSeconds: number }
  readonly #options: RunOptions
  /** The calls that others perform. */
  readonly elsewhere: Elsewhere
  /** Absent where the platform compares the memories. */
  readonly #embedder: Embedder | undefined
  readonly #followups: Followups
  readonly #answers: Answers
  readonly #output: Output
  readonly #ending: Ending
  readonly #modelCalls = new Set<Promise<unknown>>()
  #outcome: Promise<void> | undefined

  constructor(options: RunOptions) {
    const { address, attempt, first, journal, bus, gateway, ipc, log } = options
    this.#options = options
    this.limits = first.effective.limits
    this.boundary = new Boundary(journal, attempt, log)
    this.elsewhere = new Elsewhere(journal.inbox, attempt)
    const { boundary, limits } = this
    const { embeddings } = first.effective.memory ?? {}
    this.#embedder = embeddings && new Embedder({ boundary, gateway, limits, embeddings, log })
    this.#followups = new Followups(ipc.input, journal)
    this.#answers = new Answers(ipc.results)
    const { timeoutSeconds } = this.limits
    const deadline = this.#start() + 1_000 * timeoutSeconds
    this.#ending = new Ending({ timeoutSeconds, deadline, lastLook: () => this.#output.scan() })
    this.#output = new Output(ipc.output, ipc.input, {
      publish: (message) => publishLive(bus, address, { ...message, attempt, source: 'agent' }),
      note: (code, message) => this.boundary.note(code, message),
      step: () => this.boundary.ledger.step,
      result: (result, writtenAt) => this.#ending.result(result, writtenAt),
    })
    // An agent that was told of it by an earlier bridge may have ended since: its result is that of a cancelled run.
    const cancel = journal.inbox.find((message) => message.type === 'cancel')
    if (cancel) this.cancel(cancel.reason, cancel.graceSeconds)
  }

  /** Serves the agent until the signal aborts. */
  async serve(signal: AbortSignal): Promise<void> {
    const { ipc, log } = this.#options
    const mailbox = new Mailbox({
      tools: ipc.tools,
      answers: this.#answers,
      boundary: this.boundary,
      crossing: (call) => this.#crossing(call),
      log,
    })
    this.#resumeCalls()
    const { skills } = this.#options
    if (skills && 'changed' in skills) this.#ending.refuse('SkillChanged', skills.changed)
    void this.#ending.decided.then((ended) => this.#finish(ended))
    await Promise.all([
      watchFolder(ipc.tools, () => mailbox.scan(), signal),
      watchFolder(ipc.output, () => this.#output.scan(), signal),
    ])
  }

  /** Something that is said to the run: there for the agent when this returns. */
  say(message: FollowupMessage): void {
    this.#followups.offer(message)
  }

  /** Tells the agent to stop, and ends the run once it has, or once its grace is over. */
  cancel(reason: string, graceSeconds: number): void {
    const { input } = this.#options.ipc
    const told = () => writtenAt(input, 'cancel.json')
    if (told() === undefined) input.write('cancel.json', JSON.stringify({ reason, graceSeconds }))
    this.#ending.cancel(reason, graceSeconds, told() ?? Date.now())
  }

  /** Resolves once the run has an outcome, written here or found. */
  async ended(): Promise<void> {
    if (this.#options.journal.outcome) return
    await this.#ending.decided
    await this.#outcome
  }

  /** A last look for a result before the bridge stops; what it finds becomes the outcome. */
  async stop(): Promise<void> {
    if (!this.boundary.closed.aborted) this.#output.scan()
    // Whatever was decided by now is written; the deadline and cancellations of later are the next bridge's.
    this.#ending.close()
    await sleep(0)
    await this.#outcome
  }

  /** Counts a model call as under way until `call` is settled. */
  async during(call: Promise<void>): Promise<void> {
    this.#modelCalls.add(call)
    try {
      await call
    } finally {
      this.#modelCalls.delete(call)
    }
  }

  /** Writes task.json unless an earlier bridge did, and gives the time of that, which is the start of the run. */
  #start(): number {
    const { first, ipc, skillsDir, skills, history } = this.#options
    const write = () => {
      if (skills && 'changed' in skills) return Date.now()
      const leftOut = skills?.leftOut ?? []
      for (const { name, reason } of leftOut)
        this.boundary.note('skill_left_out', `skill ${name} is left out: ${reason}`)
      const seen = first.task.skills.filter(({ name }) => !leftOut.some((skill) => skill.name === name))
      const begun = { ...first.task, ...history, ...this.#withFiles(), skills: seen, limits: this.#limitsLeft() }
      const facts = { ...this.#facts, chat: this.#options.handOver !== undefined }
      const task = taskForAgent(begun, first.effective, facts, skillsDir)
      ipc.input.write('task.json', JSON.stringify(task))
      // By the file, as a later bridge has it: an agent reads it before this bridge may look at the clock again.
      return startedAt(ipc.input) ?? Date.now()
    }
    return startedAt(ipc.input) ?? write()
  }

  /** What came with the task, and in its text what of that is not there. */
  #withFiles() {
    const { attachments, first } = this.#options
    if (!attachments) return {}
    for (const sentence of attachments.leftOut) this.boundary.note('file_left_out', sentence)
    const told = attachments.leftOut.map((sentence) => `[${sentence}]`)
    return { files: attachments.paths, task: [first.task.task, ...told].join('\n') }
  }

  /** What the run may use, less what was used to prepare it. */
  #limitsLeft() {
    const { limits } = this.#options.first.task
    const { step, usage } = this.boundary.ledger
    const tokens = limits.maxTokens - usage.inputTokens - usage.outputTokens
    return { ...limits, maxSteps: Math.max(1, limits.maxSteps - step), maxTokens: Math.max(1, tokens) }
  }

  get #facts() {
    return { sandbox: this.#options.performTool !== undefined }
  }

  #crossing(call: Call) {
    if (takesFollowup(call)) return this.#followups.crossing(call)
    const { first, inForce, performTool: sandbox, handOver } = this.#options
    const elsewhere = (callId: string, signal: AbortSignal) => this.#elsewhere(call.tool, callId, signal)
    const embedder = this.#embedder
    const meaningOf = embedder && ((id: string, text: string) => embedder.meaningOf(id, text))
    return toolCrossing(call, first.effective, inForce(), this.#facts, { sandbox, handOver, elsewhere, meaningOf })
  }

  async #elsewhere(tool: string, callId: string, signal: AbortSignal): Promise<Performed> {
    const { answer, unembedded = [] } = await this.elsewhere.perform(callId, signal)
    this.#embedder?.heard(answer)
    const madeUp = this.#embedder && this.during(this.#embedder.makeUp(unembedded))
    // What an agent has stored it may look for by its meaning at once; for the rest nobody waits.
    if (tool === 'memory_store') await madeUp
    return { answer }
  }

  /** Gives the agent again what was answered, and answers what an earlier bridge left open. */
  #resumeCalls(): void {
    const { journal, attempt, log } = this.#options
    const open = new Map<string, Call>()
    for (const entry of journal.entries) {
      if (entry.attempt !== attempt) continue
      if (entry.kind === 'called') open.set(entry.call.id, entry.call)
      if (entry.kind === 'answered') {
        open.delete(entry.callId)
        if (isForAgent(entry.tool)) this.#answers.put(entry.callId, entry.answer)
      }
    }
    for (const call of open.values()) {
      const repeatable = takesFollowup(call) || (isToolName(call.tool) && tools[call.tool].repeatable)
      const crossing = isForAgent(call.tool) ? this.#crossing(call) : modelCrossing(call)
      this.boundary.resume(crossing, repeatable).then(
        (answer) => isForAgent(call.tool) && this.#answers.put(call.id, answer),
        (thrown: unknown) => log.error({ err: thrown, tool: call.tool }, 'call not resumed'),
      )
    }
  }

  async #finish(ended: Ended): Promise<void> {
    this.#outcome ??= this.#writeOutcome(ended)
    await this.#outcome
  }

  async #writeOutcome(ended: Ended): Promise<void> {
    const { address, attempt, bus, log, journal } = this.#options
    if (journal.outcome || this.boundary.closed.aborted) return
    await Promise.race([Promise.allSettled(this.#modelCalls), sleep(settleMs)])
    this.boundary.close()
    await journal.settled()
    const followups = followupsTaken(journal.entries)
    const at = new Date().toISOString()
    const usage = this.boundary.ledger.usage
    const files = ended.phase === 'Succeeded' ? handedOver(journal.entries) : []
    const handed = files.length > 0 ? { files } : {}
    try {
      const more = followups > 0 ? { followups, usage } : { usage }
      await writeOutcome(bus, address, {
        run: address.uid,
        attempt,
        at,
        writer: 'bridge',
        ...ended,
        ...handed,
        ...more,
      })
      log.info({ run: address.uid, phase: ended.phase, reason: ended.reason, ...usage }, 'outcome recorded')
    } catch (thrown) {
      // Somebody else ended the run first: theirs is the outcome.
      if (!isClawError(thrown, 'fenced')) log.error({ err: thrown, run: address.uid }, 'outcome not recorded')
    }
  }
}

/** Those of which no agent waits for a file: model requests were answered over HTTP, the others are the bridge's own. */
const answeredElsewhere: ReadonlySet<string> = new Set([
  'model',
  'count_tokens',
  historyCall.tool,
  summaryCall.tool,
  embeddingCall.tool,
])

function isForAgent(tool: string): boolean {
  return !answeredElsewhere.has(tool)
}

function modelCrossing(call: Call) {
  return {
    call,
    verdict: { action: 'allow', reason: 'recorded by an earlier bridge' } as const,
    perform: async () => ({ answer: runEnded }),
  }
}
