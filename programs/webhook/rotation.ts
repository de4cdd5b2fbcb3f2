/**
 * How one certificate follows another without a moment in which an API server distrusts a replica. Of the new one first
 * the authority is announced, in every configuration; then, once it has been trusted there for a while, it is served;
 * and when no replica can serve the old one any longer, the old authority is forgotten.
 */
import { type Certificate, covers, isDue, isUsable, namesOf } from './certificate.ts'

/** What the replicas share. */
export interface Held {
  /** Served by every replica that has read it. */
  current: Certificate
  /** Announced, and served by nobody yet. */
  next?: Certificate | undefined
  /** Authorities of certificates that a replica may still serve. */
  previous: string[]
  /** When `current` became that. */
  servedSince: Date
}

export type Step =
  /** Nothing is to be done before something changes or time passes. */
  | { step: 'rest' }
  /** Issue a certificate for these names and serve it at once: there is none that anybody could serve. */
  | { step: 'start'; names: readonly string[] }
  /** Issue the certificate that will follow `current`, and let its authority be trusted. */
  | { step: 'announce'; names: readonly string[]; current: Certificate }
  /** Serve `next`. */
  | { step: 'serve'; next: Certificate }
  /** No longer trust the authorities of certificates before. */
  | { step: 'forget' }

export interface Situation {
  /** What is shared, as far as it could be read. */
  held: Held | undefined
  /** What this replica serves. It outlives the loss of the shared one. */
  served: Certificate | undefined
  /** DNS names and addresses under which this replica is called. */
  names: readonly string[]
  /** Since when every configuration trusts `next`, as far as this replica has seen. */
  nextTrustedSince: Date | undefined
  now: Date
}

export interface Pace {
  /** Milliseconds that API servers are given to take notice of a changed configuration. */
  settleMs: number
  /** Milliseconds that replicas are given to take notice of a changed certificate. */
  overlapMs: number
}

/** What is to be done now. Each step is one write, so replicas that decide at once meet in a conflict. */
export function nextStep({ held, served, names, nextTrustedSince, now }: Situation, pace: Pace): Step {
  const next = held?.next && isUsable(held.next, now) ? held.next : undefined
  const current = [held?.current, served].find((one) => one && isUsable(one, now))
  if (!current) return next ? { step: 'serve', next } : { step: 'start', names }
  // Who deletes or breaks what is shared gets another certificate, not an outage: what is served stays until then.
  if (!held || current !== held.current) return { step: 'announce', names, current }
  if (next) {
    const settled = nextTrustedSince && now.getTime() - nextTrustedSince.getTime() >= pace.settleMs
    return settled ? { step: 'serve', next } : { step: 'rest' }
  }
  if (!covers(current, names)) {
    // A replica of another version may be called by names that this one does not know.
    return { step: 'announce', names: [...new Set([...names, ...namesOf(current)])], current }
  }
  if (isDue(current, now)) return { step: 'announce', names, current }
  const overlapped = now.getTime() - held.servedSince.getTime() >= pace.overlapMs
  return held.previous.length > 0 && overlapped ? { step: 'forget' } : { step: 'rest' }
}

/** What an API server must trust meanwhile, as one PEM text: what is served, what will be, what may still be. */
export function bundleOf({ current, next, previous }: Held): string {
  return [...new Set([current.authority, ...(next ? [next.authority] : []), ...previous])].join('')
}
