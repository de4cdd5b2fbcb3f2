import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { ClawError, isClawError } from '#core/errors'
import { type AgentRun, agentRuns, type Unborn } from '#core/kinds'
import { type Kube, untilJudged } from '#core/kube'

export interface Creation {
  run: AgentRun
  /** False where an earlier request with the same key has made it. */
  created: boolean
}

/**
 * Creates a run at most once for each caller and key, however often and at how many replicas it is asked for. Nothing
 * is remembered for it: the name of the run follows from both, Kubernetes has one object of a name, and what was asked
 * for then stands in its spec, which cannot change. Throws `already_exists` where that was something else.
 */
export async function createOnce(
  kube: Kube,
  wanted: Unborn<AgentRun>,
  { username, key }: { username: string; key: string },
): Promise<Creation> {
  const { generateName = '', namespace = '', ...metadata } = wanted.metadata
  const name = `${generateName}${suffix([username, namespace, key])}`
  try {
    const named = { ...wanted, metadata: { ...metadata, namespace, name } }
    return { run: await untilJudged(() => kube.create<AgentRun>(agentRuns, named)), created: true }
  } catch (error) {
    if (!isClawError(error, 'already_exists')) throw error
  }
  const run = await kube.get<AgentRun>(agentRuns, { namespace, name })
  // What others than its writer add or may change later was not asked for.
  const { origin: _, cancel: __, ...asked } = run.spec
  if (isDeepStrictEqual(asked, wanted.spec)) return { run, created: false }
  throw new ClawError('already_exists', 'this key was used for a request that asked for something else', {
    field: 'idempotency-key',
  })
}

/** Twelve letters that Kubernetes allows in a name, 60 bits. */
function suffix(parts: string[]): string {
  const digest = createHash('sha256').update(JSON.stringify(parts)).digest()
  return Array.from(digest.subarray(0, 12), (byte) => alphabet[byte % 32]).join('')
}
const alphabet = 'abcdefghijklmnopqrstuvwxyz234567'
