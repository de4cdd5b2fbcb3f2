import { randomUUID } from 'node:crypto'
import { type Bus, lastMessage, publish, tail } from '#core/bus'
import { ClawError, isClawError } from '#core/errors'
import { pairingSubject } from '#core/identity'
import { type Pairing, pairing } from './messages.ts'

const stream = 'KV_pairing'
const everyCode = '$KV.pairing.*.*'
const writeMs = 5_000

/** Lays a stranger's wish under its code, for ten minutes. Throws `conflict` where the code is taken, `unavailable`. */
export async function storePairing(bus: Bus, code: string, wish: Pairing): Promise<void> {
  const subject = pairingSubject(wish.namespace, code)
  try {
    await publish(bus, subject, pairing.parse(wish), {
      id: randomUUID(),
      expectedLast: 0,
      signal: AbortSignal.timeout(writeMs),
    })
  } catch (error) {
    if (isClawError(error, 'fenced')) throw new ClawError('conflict', 'this code is taken', { cause: error })
    throw error
  }
}

/** The wish that lies under a code, which stays there. Undefined where there is none, or no more. */
export async function findPairing(bus: Bus, namespace: string, code: string): Promise<Pairing | undefined> {
  return (await read(bus, namespace, code))?.wish
}

/** Takes the wish that lies under a code: of all who try, one gets it, once. Throws `unavailable`. */
export async function takePairing(bus: Bus, namespace: string, code: string): Promise<Pairing | undefined> {
  const found = await read(bus, namespace, code)
  if (!found) return undefined
  try {
    await publish(bus, pairingSubject(namespace, code), null, {
      id: randomUUID(),
      expectedLast: found.sequence,
      headers: { 'KV-Operation': 'DEL' },
      signal: AbortSignal.timeout(writeMs),
    })
  } catch (error) {
    if (isClawError(error, 'fenced')) return undefined
    throw error
  }
  return found.wish
}

/** All wishes that lie under codes that are still good, and since when; the codes themselves nobody can tell from them. */
export async function storedPairings(bus: Bus, signal: AbortSignal): Promise<{ wish: Pairing; at: Date }[]> {
  const newest = new Map<string, { wish: Pairing; at: Date } | undefined>()
  const stored = await tail(bus, { stream, subject: everyCode, signal })
  if (stored.upTo === 0) return []
  for await (const { subject, sequence, at, value } of stored) {
    const wish = pairing.safeParse(value()).data
    newest.set(subject, wish && { wish, at })
    if (sequence >= stored.upTo) break
  }
  return [...newest.values()].filter((one) => one !== undefined)
}

async function read(bus: Bus, namespace: string, code: string) {
  const last = await lastMessage(bus, stream, pairingSubject(namespace, code))
  const wish = pairing.safeParse(last?.value).data
  return last && wish ? { sequence: last.sequence, wish } : undefined
}
