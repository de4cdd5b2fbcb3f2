import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import type { ReadStream, WriteStream } from 'node:tty'
import { type AgentRun, agentRuns, newRun } from '#core/kinds'
import { type Kube, untilJudged } from '#core/kube'
import { credentials } from './apiserver.ts'
import { type ClusterOptions, connect } from './context.ts'
import { follow } from './follow.ts'
import { sentence } from './sentence.ts'
import { safe, safeLine } from './terminal.ts'
import { createTranscript } from './transcript.ts'

export interface ChatOptions extends ClusterOptions {
  instance: string
  agent?: string
  session?: string
}

const help = 'there are /new, which begins another conversation, and /quit'

/**
 * `k8sclaw chat`: each line is a run of one session, shown as it happens. Ctrl-C cancels the run under way; where there is
 * none, or a second time, it leaves. Lines may come from a pipe as well; the exit code is 1 then if one was not answered.
 */
export async function chat(options: ChatOptions, input: ReadStream, output: WriteStream): Promise<number> {
  const { kube, namespace } = await connect(options)
  // Before the first run is made: without a token nobody could follow it.
  await credentials(kube)
  const write = (text: string) => void output.write(text)
  const interactive = input.isTTY && output.isTTY
  const leave = new AbortController()
  let session = options.session ?? freshSession()
  let turn: Turn | undefined
  let unanswered = 0
  const greet = () => write(`session ${safeLine(session)} of ${safeLine(options.instance)}\n`)

  const lines = createInterface({ input, output, terminal: interactive, prompt: '> ' })
  leave.signal.addEventListener('abort', () => lines.close())
  const interrupt = () => {
    if (!turn || turn.cancelled) return leave.abort()
    write('\ncancelling; again leaves\n')
    turn.cancel()
  }
  lines.on('SIGINT', interrupt)
  process.on('SIGINT', interrupt)

  greet()
  if (interactive) lines.prompt()
  for await (const line of lines) {
    const said = line.trim()
    if (said === '/quit') break
    if (said === '/new') {
      session = freshSession()
      greet()
    } else if (said.startsWith('/')) write(`${help}\n`)
    else if (said !== '') {
      const { instance, agent } = options
      turn = new Turn(kube, newRun(namespace, { instance, agent, task: said, sessionKey: session }))
      if (!(await turn.show(write, leave.signal))) unanswered++
      turn = undefined
    }
    if (leave.signal.aborted) break
    if (interactive) lines.prompt()
  }
  lines.close()
  process.off('SIGINT', interrupt)
  if (interactive) write('\n')
  return unanswered > 0 && !interactive ? 1 : 0
}

function freshSession(): string {
  return `chat-${randomBytes(4).toString('hex')}`
}

/** One line of a person and what the agent does about it. */
class Turn {
  readonly #kube: Kube
  readonly #wanted: ReturnType<typeof newRun>
  readonly #cancelled = Promise.withResolvers<void>()
  cancelled = false

  constructor(kube: Kube, wanted: ReturnType<typeof newRun>) {
    this.#kube = kube
    this.#wanted = wanted
  }

  cancel(): void {
    this.cancelled = true
    this.#cancelled.resolve()
  }

  /** Shows the run until its outcome; whether it Succeeded. What goes wrong is said, and the conversation goes on. */
  async show(write: (text: string) => void, signal: AbortSignal): Promise<boolean> {
    try {
      const { metadata } = await untilJudged(() => this.#kube.create<AgentRun>(agentRuns, this.#wanted))
      const { name, namespace = '' } = metadata
      const cancelled = this.#cancelled.promise
        .then(() => untilJudged(() => this.#kube.patch(agentRuns, { name, namespace }, { spec: { cancel: true } })))
        .catch((error: unknown) => write(`error: ${safe(sentence(error))}\n`))
      const transcript = createTranscript(write, { brief: true })
      const onWait = (text: string) => transcript({ type: 'status', data: { text } })
      for await (const event of follow(this.#kube, { namespace, name }, signal, onWait)) {
        transcript(event)
        if (event.type === 'outcome') return event.data.phase === 'Succeeded'
      }
      // The way to the server stays open until it knows.
      if (this.cancelled) await cancelled
    } catch (error) {
      write(`error: ${safe(sentence(error))}\n`)
    }
    return false
  }
}
