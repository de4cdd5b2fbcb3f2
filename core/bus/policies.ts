import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { Msg } from '@nats-io/transport-node'
import { errorMessage, isClawError } from '#core/errors'
import { type PolicyAddress, policyOfSubject, policySubjects } from '#core/identity'
import { fromClientError, jsRequest } from './api.ts'
import type { Bus } from './bus.ts'
import { pause } from './pause.ts'
import { decodePayload } from './payload.ts'
import { publish } from './publish.ts'
import { lastMessage, tail } from './tail.ts'

const stream = 'KV_policies'
const everyKey = '$KV.policies.*.*'
/** How long a write waits for the bus; whoever writes tries again. */
const writeMs = 5_000
/** How often a reader asks anew, should a change not have reached it. */
const rereadMs = 10_000
const retryMs = 1_000

/**
 * Puts the compiled form of a policy where bridges and gateway read it; `null` says that the policy is deleted, which
 * is not the same as never having been there. False where it was so already. Throws `fenced` where another writer was
 * first, `unavailable` while the bus is away.
 */
export async function storePolicy(bus: Bus, at: PolicyAddress, value: object | null): Promise<boolean> {
  const { stored } = policySubjects(at)
  const present = await lastMessage(bus, stream, stored)
  if (!present && value === null) return false
  if (present && isDeepStrictEqual(present.value, JSON.parse(JSON.stringify(value)))) return false
  await publish(bus, stored, value, {
    // Of its own: a policy that is deleted and made again may come with the content it had.
    id: randomUUID(),
    expectedLast: present?.sequence ?? 0,
    ...(value === null ? { headers: { 'KV-Operation': 'DEL' } } : {}),
    signal: AbortSignal.timeout(writeMs),
  })
  return true
}

/** Every policy that the bucket knows of, the deleted ones among them. */
export async function storedPolicies(bus: Bus): Promise<PolicyAddress[]> {
  const found: PolicyAddress[] = []
  for (let seen = 0; ; ) {
    const { state, total = 0 } = await jsRequest<{ state: { subjects?: Record<string, number> }; total?: number }>(
      bus,
      `STREAM.INFO.${stream}`,
      { subjects_filter: everyKey, offset: seen },
    )
    const subjects = Object.keys(state.subjects ?? {})
    found.push(...subjects.flatMap((subject) => policyOfSubject(subject) ?? []))
    seen += subjects.length
    if (subjects.length === 0 || seen >= total) return found
  }
}

/** Forgets that a policy was deleted before `until`, once no run can have been bound by it. */
export async function forgetPolicy(bus: Bus, at: PolicyAddress, until: Date): Promise<boolean> {
  const { stored } = policySubjects(at)
  const present = await lastMessage(bus, stream, stored)
  if (!present || present.value !== null || present.storedAt >= until) return false
  await jsRequest(bus, `STREAM.PURGE.${stream}`, { filter: stored, seq: present.sequence + 1 })
  return true
}

/**
 * Keeps a run's bridge told of one policy: `onChange` gets the compiled form, null once the policy is deleted, and
 * undefined where none was ever stored. Resolves when it has been told what is there now. From then on changes come as
 * the bus stores them; while the bus is away what was told last stands. Throws when the signal aborts before the first.
 */
export async function watchPolicy(
  bus: Bus,
  at: PolicyAddress,
  signal: AbortSignal,
  onChange: (value: unknown) => void,
): Promise<void> {
  const { changed, get } = policySubjects(at)
  let newest = 0
  const take = (message: Msg) => {
    const sequence = Number(message.headers?.get('Nats-Sequence'))
    if (!(sequence > newest)) return
    newest = sequence
    const gzip = message.headers?.get('Content-Encoding') === 'gzip'
    onChange(decodePayload({ bytes: message.data, gzip }))
  }
  const read = async () => {
    const answer = await bus.request(get, '').catch((error: unknown) => {
      throw fromClientError(bus, error, get)
    })
    if (answer.headers?.code === 404) {
      if (newest === 0) onChange(undefined)
    } else take(answer)
  }
  // Listening comes first, so that nothing falls between what is read and what is told.
  const subscription = bus.nats.subscribe(changed, {
    callback: (error, message) => {
      if (!error) take(message)
    },
  })
  const reread = () => void read().catch((error) => bus.log.debug({ error: errorMessage(error) }, 'policy not read'))
  const stopListening = bus.onReconnect(reread)
  const timer = setInterval(reread, rereadMs)
  timer.unref()
  const stop = () => {
    clearInterval(timer)
    stopListening()
    if (!bus.nats.isClosed()) subscription.unsubscribe()
  }
  signal.addEventListener('abort', stop, { once: true })
  for (let tries = 0; ; tries++) {
    signal.throwIfAborted()
    try {
      return await read()
    } catch (error) {
      if (!isClawError(error, 'unavailable') || signal.aborted || bus.signal.aborted) {
        stop()
        throw error
      }
      if (tries % 30 === 0) bus.log.warn({ policy: at.name, error: errorMessage(error) }, 'policy not read yet')
      await pause(retryMs, signal)
    }
  }
}

/**
 * Tells of every policy and of each change, until the signal aborts. `onSynced` is called once all that was there has
 * been told. What was told stands while the bus is away; when it is back, all is told again.
 */
export async function watchPolicies(
  bus: Bus,
  signal: AbortSignal,
  { onChange, onSynced }: { onChange: (at: PolicyAddress, value: unknown) => void; onSynced: () => void },
): Promise<void> {
  while (!signal.aborted) {
    const connection = new AbortController()
    const forget = bus.onReconnect(() => connection.abort())
    try {
      const source = await tail(bus, {
        stream,
        subject: everyKey,
        signal: AbortSignal.any([signal, connection.signal]),
      })
      if (source.upTo === 0) onSynced()
      for await (const message of source) {
        const at = policyOfSubject(message.subject)
        if (at) onChange(at, message.value())
        if (message.sequence >= source.upTo) onSynced()
      }
    } catch (error) {
      if (signal.aborted) return
      if (!connection.signal.aborted) bus.log.warn({ error: errorMessage(error) }, 'policies not followed')
      await pause(retryMs, signal).catch(() => {})
    } finally {
      forget()
    }
  }
}
