import type { ServerResponse } from 'node:http'
import { type AgentRun, agentRuns, newRun } from '#core/kinds'
import { type Kube, untilJudged } from '#core/kube'
import type { Logger } from '#core/telemetry'
import { createOnce } from '../kinds/idempotency.ts'
import { whenLeft as leaving } from '../sse.ts'
import type { OpenStream, Place, Streams } from '../streams.ts'
import { answerAtOnce, answerInPieces } from './delivery.ts'
import { findModel } from './models.ts'
import type { Chat } from './request.ts'
import { askBefore, type WhenLeft } from './rights.ts'

export interface CompletionsOptions {
  kube: Kube
  streams: Streams
  log: Logger
}

export interface ChatCall {
  token: string
  username: string
  /** By which the client may ask again, and is answered by the run that was made first. */
  key: string | undefined
  chat: Chat
  response: ServerResponse
  /** What becomes of the run when the client has left, where the client says so. */
  whenLeft: WhenLeft | undefined
}

/** Chat completions: for each a run, made, read and cancelled with the caller's own token. */
export class Completions {
  readonly #options: CompletionsOptions

  constructor(options: CompletionsOptions) {
    this.#options = options
  }

  /**
   * Makes the run and begins to answer; from then on the response is taken care of. Throws what is refused before: no run
   * is made where its caller may not read it or a limit lets nobody follow it, and none is left that nobody follows.
   */
  async begin(call: ChatCall): Promise<void> {
    const { token, username, chat, response } = call
    const { kube, log, streams } = this.#options
    const left = leaving(response)
    await findModel({ kube, token }, chat.model)
    const whenLeft = await askBefore({ kube, namespace: chat.namespace, ...call })
    const place = streams.reserve(username)
    const { run, stream } = await this.#make(call, place).catch((error: unknown) => {
      place()
      throw error
    })
    this.#answer({ ...call, whenLeft, left }, run, stream).catch((error: unknown) => {
      log.error(
        { run: run.metadata.uid, instance: chat.instance, namespace: chat.namespace, err: error },
        'chat completion failed',
      )
      response.destroy()
    })
  }

  /** The run and the stream of its events. */
  async #make({ token, username, key, chat }: ChatCall, place: Place): Promise<{ run: AgentRun; stream: OpenStream }> {
    const { namespace, instance, agent, task, systemPrompt, sessionKey } = chat
    const wanted = newRun(namespace, { instance, agent, task, systemPrompt, sessionKey })
    const caller = this.#options.kube.withToken(token)
    const { run, created } =
      key === undefined
        ? { run: await untilJudged(() => caller.create(agentRuns, wanted)), created: true }
        : await createOnce(caller, wanted, { username, key })
    const { name } = run.metadata
    try {
      const stream = await this.#options.streams.open({ token, namespace, name, after: undefined, place })
      return { run, stream }
    } catch (error) {
      if (created) await this.#cancel(token, run)
      throw error
    }
  }

  async #answer(
    { chat, response, token, whenLeft, left }: ChatCall & { left: AbortSignal },
    run: AgentRun,
    stream: OpenStream,
  ): Promise<void> {
    const { uid, name, creationTimestamp = '' } = run.metadata
    const end = await (chat.stream ? answerInPieces : answerAtOnce)({
      head: { id: `chatcmpl-${uid}`, created: Math.floor(Date.parse(creationTimestamp) / 1000), model: chat.model },
      run: name,
      ...{ stream, response, left, includeUsage: chat.includeUsage },
      headers: {
        'x-k8sclaw-run': name,
        'x-k8sclaw-when-left': whenLeft,
        ...(chat.ignored.length > 0 && { 'x-k8sclaw-ignored': chat.ignored.join(', ') }),
      },
    })
    if ((end === 'left' || end === 'slow') && whenLeft === 'cancel') await this.#cancel(token, run)
  }

  async #cancel(token: string, { metadata: { name, namespace, uid } }: AgentRun): Promise<void> {
    const { kube, log } = this.#options
    try {
      const caller = kube.withToken(token)
      await untilJudged(() => caller.patch(agentRuns, { namespace, name }, { spec: { cancel: true } }))
    } catch (error) {
      log.warn({ run: uid, namespace, err: error }, 'a run that nobody waits for was not cancelled')
    }
  }
}
