import { isDeepStrictEqual } from 'node:util'
import type { AgentRunSpec, ClawInstance, Effective } from '#core/kinds'

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
  const asking = origin?.kind === 'user' ? origin.detail : undefined
  const user = parents ? parents.user : asking
  const memory = { scopes, ...(scopes.includes('user') && user !== undefined && { user }) }
  return isDeepStrictEqual(memory, ownSession) ? {} : { memory }
}
