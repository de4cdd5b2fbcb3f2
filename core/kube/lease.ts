import type { KubeObject } from '#core/kinds'

/** Times of an election, milliseconds. A leader stops after `renewMs`, well before another may begin after `leaseMs`. */
export interface LeaseTimes {
  /** How long a lease is left alone after its last change. */
  leaseMs: number
  /** How long a leader may lead after the last renewal that it knows of. */
  renewMs: number
  /** Between two attempts. */
  retryMs: number
}

/** A `coordination.k8s.io/v1` Lease, as far as an election uses it. */
export interface Lease extends KubeObject {
  spec?: {
    /** Empty where the last holder gave it back. */
    holderIdentity?: string
    leaseDurationSeconds?: number
    acquireTime?: string
    renewTime?: string
    leaseTransitions?: number
  }
}

/**
 * A lease and when it was last seen to change, on the clock of who looks. Clocks of two machines differ, so the times
 * in the lease are for people: a candidate waits for its own clock to run a whole duration without a change.
 */
export interface Sighting {
  lease: Lease
  atMs: number
}

/** What is known after another look. A lease that is gone is still its holder's: only somebody else deleted it. */
export function sight(before: Sighting | undefined, lease: Lease | undefined, nowMs: number): Sighting | undefined {
  if (!lease) return before
  const unchanged = before !== undefined && JSON.stringify(before.lease.spec) === JSON.stringify(lease.spec)
  return { lease, atMs: unchanged ? before.atMs : nowMs }
}

/** How long to leave a lease alone, milliseconds; 0 where it is free, one's own, or its holder has fallen silent. */
export function leftMs(seen: Sighting | undefined, identity: string, nowMs: number, { leaseMs }: LeaseTimes): number {
  const { holderIdentity, leaseDurationSeconds } = seen?.lease.spec ?? {}
  if (!seen || !holderIdentity || holderIdentity === identity) return 0
  const durationMs = leaseDurationSeconds === undefined ? leaseMs : leaseDurationSeconds * 1000
  return Math.max(0, seen.atMs + durationMs - nowMs)
}

/** The spec by which `identity` takes or renews the lease. */
export function heldBy(identity: string, lease: Lease | undefined, now: Date, { leaseMs }: LeaseTimes): Lease['spec'] {
  const { holderIdentity, acquireTime, leaseTransitions = 0 } = lease?.spec ?? {}
  const renews = holderIdentity === identity
  return {
    holderIdentity: identity,
    leaseDurationSeconds: Math.ceil(leaseMs / 1000),
    acquireTime: renews && acquireTime ? acquireTime : microTime(now),
    renewTime: microTime(now),
    leaseTransitions: lease && !renews ? leaseTransitions + 1 : leaseTransitions,
  }
}

/** The spec of a lease that is given back: free at once for whoever looks next. */
export function givenBack(lease: Lease, now: Date): Lease['spec'] {
  return { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: microTime(now) }
}

/** `metav1.MicroTime`, which wants six digits. */
function microTime(date: Date): string {
  return date.toISOString().replace('Z', '000Z')
}
