import { isDeepStrictEqual } from 'node:util'
import type { AgentRunSpec, Bounds, ClawInstance, Effective } from '#core/kinds'
import { admitsModel } from './allow.ts'
import { askingUser } from './asking-user.ts'
import { nameOf } from './judge.ts'
import type { Refusal } from './refusals.ts'

type Memory = NonNullable<Effective['memory']>

/** What holds where nothing is said. */
const ownSession: Memory = { scopes: ['session'] }

/**
 * How far the memories of a run reach; nothing where that is its session. Who its user is admission and the platform
 * say; a child acts for the user of its parent, and reaches no further than that.
 */
export function memoryOf(
  instance: ClawInstance,
  origin: AgentRunSpec['origin'],
  above: Effective | undefined,
): Pick<Effective, 'memory'> {
  const { scopes: wanted } = instance.spec.memory ?? ownSession
  const parents = above && (above.memory ?? ownSession)
  const scopes = parents ? wanted.filter((scope) => parents.scopes.includes(scope)) : wanted
  const user = parents ? parents.user : askingUser(instance, origin)
  const memory = {
    scopes,
    ...(scopes.includes('user') && user !== undefined && { user }),
    ...embeddingsOf(instance),
  }
  return isDeepStrictEqual(memory, ownSession) ? {} : { memory }
}

/**
 * Why the model by which the memories of an instance are compared may not be: its provider has no credential there, or
 * one of these bounds does not allow it. It is sent what agents remember, as any model is sent what they say.
 */
export function embeddingsRefused(
  { metadata, spec }: ClawInstance,
  bounds: readonly Pick<Bounds, 'policy' | 'modelsAllowed'>[],
): Refusal | undefined {
  const wanted = spec.memory?.embeddings
  if (!wanted) return undefined
  const { provider, name } = wanted
  const forbidding = bounds.find(({ modelsAllowed }) => modelsAllowed && !admitsModel(modelsAllowed, wanted))
  if (forbidding) {
    const message = `${nameOf(forbidding)} does not allow the embeddings model ${provider}/${name} of instance ${metadata.name}`
    return { reason: 'ModelNotAllowed', message, instanceField: 'spec.memory.embeddings' }
  }
  if (provider === 'demo' || credentialOf(spec, provider)) return undefined
  const message = `instance ${metadata.name} has no authRef for provider ${provider} of its memory.embeddings`
  return { reason: 'NoCredential', message }
}

function embeddingsOf({ spec }: ClawInstance): Pick<Memory, 'embeddings'> {
  const wanted = spec.memory?.embeddings
  if (!wanted) return {}
  const secretRef = credentialOf(spec, wanted.provider)
  return { embeddings: { ...wanted, ...(secretRef && { secretRef }) } }
}

/** The Secret of a provider, as the instance names it. */
export function credentialOf({ authRefs }: ClawInstance['spec'], provider: string): Effective['secretRef'] {
  return authRefs?.find((ref) => ref.provider === provider)?.secretRef
}
