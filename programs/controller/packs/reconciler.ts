import { isDeepStrictEqual } from 'node:util'
import { errorMessage, isClawError } from '#core/errors'
import { type AgentRun, isTerminal, type SkillPack, type SkillPackStatus, skillPacks, withCondition } from '#core/kinds'
import { type ConfigMap, configMaps, type Informer, isOwnedBy, type Kube, type ReconcileResult } from '#core/kube'
import { skillConfigMap } from '../resources/skill-config-map.ts'
import { publish } from './publish.ts'

export interface PackReconcilerOptions {
  kube: Kube
  caches: {
    packs: Informer<SkillPack>
    runs: Informer<AgentRun>
    /** ConfigMaps of packs, by label, with the index `owner`: uid of the SkillPack. */
    configMaps: Informer<ConfigMap>
  }
  now?: () => Date
}

/** How often to look whether a ConfigMap of a former version has become free. */
const formerVersionsMs = 60_000

/** Publishes a pack as a ConfigMap, and removes those of former versions that no run reads any more. */
export class PackReconciler {
  readonly #options: PackReconcilerOptions
  readonly #now: () => Date
  /** Former versions seen before: a run that took one a moment ago may not stand in the cache yet. */
  readonly #seen = new WeakSet<ConfigMap>()

  constructor(options: PackReconcilerOptions) {
    this.#options = options
    this.#now = options.now ?? (() => new Date())
  }

  async reconcile(key: string): Promise<ReconcileResult> {
    const { kube, caches } = this.#options
    const pack = caches.packs.get(key)
    if (!pack || pack.metadata.deletionTimestamp) return
    const wanted = skillConfigMap(pack)
    const mine = caches.configMaps.byIndex('owner', pack.metadata.uid ?? '').filter((map) => isOwnedBy(map, pack))
    let problem: string | undefined
    const present = mine.find((map) => map.metadata.name === wanted.metadata.name)
    try {
      await publish(kube, wanted, pack, present)
    } catch (error) {
      if (!isClawError(error, 'not_ours', 'invalid', 'too_large')) throw error
      problem = errorMessage(error)
    }
    const status = packStatus(pack, wanted.metadata.name, problem, this.#now())
    if (!isDeepStrictEqual({ ...pack.status }, status)) {
      await kube.patch(skillPacks, pack.metadata, { status: { configMapName: null, ...status } }, 'status')
    }
    const former = mine.filter((map) => map.metadata.name !== wanted.metadata.name)
    const free = formerVersions(former, caches.runs.list(), pack.metadata.namespace).filter((map) =>
      this.#seen.has(map),
    )
    for (const map of former) this.#seen.add(map)
    for (const map of free) await kube.delete(configMaps, map.metadata, { uid: map.metadata.uid })
    return former.length > free.length ? { requeueAfterMs: formerVersionsMs } : undefined
  }
}

/** Of the ConfigMaps of former versions those that no unfinished run of the namespace names. */
export function formerVersions(
  former: readonly ConfigMap[],
  runs: readonly AgentRun[],
  namespace: string | undefined,
): ConfigMap[] {
  const unfinished = runs.filter((run) => run.metadata.namespace === namespace && !isTerminal(run.status?.phase))
  const read = new Set(
    unfinished.flatMap((run) => run.status?.effective?.skills?.map((skill) => skill.configMap) ?? []),
  )
  return former.filter((map) => !read.has(map.metadata.name))
}

export function packStatus(
  pack: SkillPack,
  configMapName: string,
  problem: string | undefined,
  now: Date,
): SkillPackStatus {
  const { generation } = pack.metadata
  const observed = generation === undefined ? {} : { observedGeneration: generation }
  const ready = problem === undefined
  const condition = ready
    ? { type: 'Ready', status: 'True' as const, reason: 'Published', message: '' }
    : { type: 'Ready', status: 'False' as const, reason: 'NotPublished', message: problem }
  return {
    phase: ready ? 'Ready' : 'Error',
    ...(ready ? { configMapName } : {}),
    skillCount: pack.spec.skills.length,
    conditions: withCondition(pack.status?.conditions, { ...condition, ...observed }, now),
    ...observed,
  }
}
