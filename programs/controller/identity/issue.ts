import {
  type BusIdentity,
  type IdentityResponse,
  type RunClaims,
  type SigningKeys,
  signBusUser,
  signRunToken,
} from '#core/identity'
import type { Effective } from '#core/kinds'
import type { Caller } from './who.ts'

type EmbeddingsOfRun = NonNullable<NonNullable<Effective['memory']>['embeddings']>

/** Minutes that an identity is good for; a tenant's is short, because it ends only with its time. */
const minutes = { run: 15, channel: 15, gateway: 60, apiserver: 60 } as const

/** The bus identity, and for a run also the token for the gateway, with the same end. */
export function issue(keys: SigningKeys, caller: Caller, userPublicKey: string, now: Date): IdentityResponse {
  const expiresAt = new Date(now.getTime() + minutes[caller.kind] * 60_000)
  const identity: BusIdentity = busIdentityOf(caller)
  const busJwt = signBusUser({ keys, userPublicKey, name: nameOf(caller), identity, expiresAt }, now)
  const answer = { busJwt, expiresAt: expiresAt.toISOString() }
  if (caller.kind !== 'run') return answer
  const { address, effective, attempt } = caller
  const { baseURLs, memory, policy } = effective
  const runToken = signRunToken(keys['run-token.private.pem'], {
    ...address,
    run: caller.name,
    attempt,
    provider: effective.model.provider,
    ...(effective.secretRef ? { secretRef: effective.secretRef.name } : {}),
    models: [effective.model.name],
    ...(memory?.embeddings ? { embeddings: embeddingsClaim(memory.embeddings) } : {}),
    ...(policy.name ? { policy: policy.name } : {}),
    ...(baseURLs ? { baseURLs } : {}),
    exp: Math.floor(expiresAt.getTime() / 1000),
  })
  return { ...answer, runToken }
}

function embeddingsClaim({ provider, name, secretRef }: EmbeddingsOfRun): RunClaims['embeddings'] {
  return { provider, model: name, ...(secretRef ? { secretRef: secretRef.name } : {}) }
}

/** For the logs of the bus. */
function nameOf(caller: Caller): string {
  if (caller.kind === 'run') return `bridge of ${caller.address.namespace}/${caller.name}`
  if (caller.kind !== 'channel') return caller.kind
  const { namespace, instance, channel } = caller.address
  return `channel ${namespace}/${instance}/${channel}`
}

function busIdentityOf(caller: Caller): BusIdentity {
  if (caller.kind === 'channel') return { kind: 'channel', channel: caller.address }
  if (caller.kind !== 'run') return { kind: caller.kind }
  return { kind: 'bridge', run: caller.address, policy: caller.effective.policy.name || undefined }
}
