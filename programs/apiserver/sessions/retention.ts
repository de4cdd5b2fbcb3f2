import { setTimeout as sleep } from 'node:timers/promises'
import { type Bus, lastMessage, storedPolicies } from '#core/bus'
import { errorMessage } from '#core/errors'
import { policySubjects } from '#core/identity'
import { readPolicyInForce } from '#core/policy'
import { expire, type Store } from '#core/store'
import type { Logger } from '#core/telemetry'

const dayMs = 86_400_000
/** The first round waits, so that a program which starts again and again does nothing else. */
const firstMs = 60_000
const againMs = 60 * 60_000

export interface RetentionOptions {
  store: Store
  bus: Bus
  log: Logger
  signal: AbortSignal
}

/** Deletes what the policies in force keep no longer, once an hour until the signal aborts. */
export async function keepRetention(options: RetentionOptions): Promise<void> {
  const { signal, log } = options
  for (let waitMs = firstMs; ; waitMs = againMs) {
    await sleep(waitMs, undefined, { signal }).catch(() => {})
    if (signal.aborted) return
    await applyRetention(options, new Date()).catch((error: unknown) => {
      if (!signal.aborted) log.warn({ error: errorMessage(error) }, 'retention not applied')
    })
  }
}

/** Deletes what they keep no longer at this moment. A policy that was deleted keeps everything. */
export async function applyRetention({ store, bus, log }: RetentionOptions, now: Date): Promise<void> {
  const before = (days: number | undefined) => (days === undefined ? undefined : new Date(now.getTime() - days * dayMs))
  for (const at of await storedPolicies(bus)) {
    const stored = await lastMessage(bus, 'KV_policies', policySubjects(at).stored)
    const retention = readPolicyInForce(stored?.value)?.retention
    if (!retention) continue
    const expiry = {
      ...{ namespace: at.namespace, policy: at.name },
      ...{ sessionsBefore: before(retention.sessionsDays), recordBefore: before(retention.recordDays) },
    }
    const gone = await expire(store, expiry, now)
    if (gone.sessions + gone.runs > 0) log.info({ ...at, ...gone }, 'retention applied')
  }
}
