/**
 * Who may say on whose behalf a run is: the controller alone, which performs `spawn`. For everyone else a run is its
 * writer's own, and admission writes that down.
 */
import { isDeepStrictEqual } from 'node:util'
import { ClawError } from '#core/errors'
import type { AgentRunSpec } from '#core/kinds'
import type { ReviewRequest } from './review.ts'

type Origin = NonNullable<AgentRunSpec['origin']>

/** As the schema has it. */
const maxDetail = 1024

/** The origin of a run that nobody but its writer asked for. */
export function originOf({ username }: ReviewRequest['userInfo']): Origin {
  return { kind: 'user', detail: username.slice(0, maxDetail) }
}

/** Whether this is the controller, whatever it writes. */
export function isController({ username }: ReviewRequest['userInfo'], systemNamespace: string): boolean {
  return username === `system:serviceaccount:${systemNamespace}:k8sclaw-controller`
}

/** Refuses what anyone but the controller claims: another's origin, or a parent. Absent claims nothing. */
export function checkAuthorship(spec: { origin?: unknown; parent?: unknown }, userInfo: ReviewRequest['userInfo']) {
  const claims: [field: string, claimed: boolean][] = [
    ['spec.parent', spec.parent !== undefined],
    ['spec.origin', spec.origin !== undefined && !isDeepStrictEqual(spec.origin, originOf(userInfo))],
  ]
  const field = claims.find(([, claimed]) => claimed)?.[0]
  if (field === undefined) return
  const message = `${field}: is written by the platform alone; leave it out`
  throw new ClawError('forbidden', message, { field })
}
