import { setImmediate as turn } from 'node:timers/promises'
import { errorMessage } from '#core/errors'
import { type FileContent, type Folder, limits } from '#core/ipc'
import type { Answer, Call } from '#core/journal'
import type { Logger } from '#core/telemetry'
import type { Answers } from './answers.ts'
import { type Boundary, type Crossing, notOk, runEnded } from './boundary.ts'
import { idOf, isTemporary, readRequest } from './request-file.ts'
import { toolCall } from './tool-calls.ts'

export interface MailboxOptions {
  /** The folder tools/, which the agent writes. */
  tools: Folder
  answers: Answers
  boundary: Boundary
  crossing: (call: Call) => Crossing
  log: Logger
}

/** Names looked at in one scan; the others wait for the next. */
const namesAtOnce = 4_096
/** Files handled before others have their turn. */
const slice = 16
/** Names that were refused and cannot be removed, remembered so that each is noted once. */
const maxStuck = 1_024

/**
 * The requests of the agent. Each file is read once and those bytes are the call; it is removed when it is recorded or
 * refused. Whatever else lies in the folder is refused with an answer or a warning.
 */
export class Mailbox {
  readonly #options: MailboxOptions
  /** Ids being performed. */
  readonly #inFlight = new Set<string>()
  /** Those of them that are not recorded yet, whose files are therefore still there. */
  readonly #recording = new Set<string>()
  readonly #stuck = new Set<string>()

  constructor(options: MailboxOptions) {
    this.#options = options
  }

  /** Looks through the folder once. */
  async scan(): Promise<void> {
    let handled = 0
    for (const { name } of this.#options.tools.entries(namesAtOnce)) {
      if (isTemporary(name) || this.#stuck.has(name)) continue
      this.#take(name)
      if (++handled % slice === 0) await turn()
    }
  }

  #take(name: string): void {
    const { tools, boundary } = this.#options
    const id = idOf(name)
    if (id === undefined) {
      this.#refuse(name, 'not the name of a request, ID.json')
      return
    }
    // The first request of this id is still in its file: it will be removed, or seen to have been replaced, once recorded.
    if (this.#recording.has(id)) return
    const unheard = boundary.ledger.known(id) ? undefined : this.#unheard()
    if (unheard) {
      this.#answer(id, unheard)
      this.#remove(name)
      return
    }
    const file = readRequest(tools, name, Date.now())
    if (file.kind === 'refused') {
      this.#refuse(name, file.why)
      // An id that has an answer keeps it.
      if (!boundary.ledger.known(id)) this.#answer(id, notOk('invalid_input', file.why))
    } else if (file.kind === 'request') {
      this.#request(name, toolCall(file.request, file.content.bytes), file.content)
    }
  }

  /** How a new request is answered that is not even read, so that a flood costs a file name each. */
  #unheard(): Answer | undefined {
    if (this.#options.boundary.closed.aborted) return runEnded
    if (this.#inFlight.size < limits.callsInFlight) return undefined
    return notOk('too_many', `${limits.callsInFlight} calls are in flight`)
  }

  #request(name: string, call: Call, content: FileContent): void {
    const { tools, boundary } = this.#options
    const remove = () => {
      if (tools.holds(name, content.identity)) this.#remove(name)
    }
    const known = boundary.ledger.known(call.id)
    if (known) {
      // The same again has its answer, or will have it. Other content under that id is another call, and refused.
      if (known.inputHash !== call.inputHash)
        boundary.note('repeated_id', `tools/${name}: the id was used before with other content; it is not performed`)
      remove()
      return
    }
    this.#inFlight.add(call.id)
    this.#recording.add(call.id)
    const recorded = () => {
      if (this.#recording.delete(call.id)) remove()
    }
    void this.#cross(call, recorded).then((answer) => {
      this.#answer(call.id, answer)
      recorded()
      this.#inFlight.delete(call.id)
    })
  }

  async #cross(call: Call, onRecorded: () => void): Promise<Answer> {
    const { boundary, crossing, log } = this.#options
    try {
      return await boundary.cross({ ...crossing(call), onRecorded })
    } catch (thrown) {
      log.error({ err: thrown, tool: call.tool }, 'call not recorded')
      return notOk('failed', 'the call could not be recorded')
    }
  }

  #refuse(name: string, why: string): void {
    this.#options.boundary.note('refused_file', `tools/${JSON.stringify(name).slice(1, -1)}: ${why}`)
    this.#remove(name)
  }

  #answer(id: string, answer: Answer): void {
    try {
      this.#options.answers.put(id, answer)
    } catch (thrown) {
      // The volume is full: nothing the bridge could do but go on with what needs no room.
      this.#options.log.error({ error: errorMessage(thrown) }, 'answer not written')
    }
  }

  #remove(name: string): void {
    if (!this.#options.tools.remove(name) && this.#stuck.size < maxStuck) this.#stuck.add(name)
  }
}
