import type { AgentRun, ClawInstance } from '#core/kinds'
import {
  type ConfigMap,
  configMaps,
  type Informer,
  isOwnedBy,
  type Kube,
  keyOf,
  type ReconcileResult,
} from '#core/kube'
import { copyOfAnnotation, pinnedConfigMap } from '../resources/skill-config-map.ts'
import { publish } from './publish.ts'
import { formerVersions } from './reconciler.ts'

export interface PinnedSkillsOptions {
  kube: Kube
  caches: {
    runs: Informer<AgentRun>
    /** ConfigMaps with skills, with the index `owner`. */
    configMaps: Informer<ConfigMap>
  }
  now?: () => Date
}

/** How long a copy stays that no run names: one that is being resolved may take it a moment from now. */
const keepMs = 10 * 60_000

/**
 * The skills in ConfigMaps that instances name themselves. A run reads a copy of ours, made when it is resolved, so
 * that what it reads is what was judged, whatever becomes of the ConfigMap.
 */
export class PinnedSkills {
  readonly #options: PinnedSkillsOptions
  readonly #now: () => Date
  /** Key of a copy, and when a run last asked for it. */
  readonly #asked = new Map<string, Date>()

  constructor(options: PinnedSkillsOptions) {
    this.#options = options
    this.#now = options.now ?? (() => new Date())
  }

  /** The copy of a ConfigMap as it is now; undefined where there is none of that name. */
  async copyOf(name: string, instance: ClawInstance): Promise<ConfigMap | undefined> {
    const { kube, caches } = this.#options
    const source = await kube.find<ConfigMap>(configMaps, { name, namespace: instance.metadata.namespace })
    if (!source) return undefined
    const wanted = pinnedConfigMap(instance, source)
    const key = keyOf(wanted)
    this.#asked.set(key, this.#now())
    return await publish(kube, wanted, instance, caches.configMaps.get(key))
  }

  /** Removes the copies of an instance that neither a run reads nor the next one is likely to. */
  async tidy(instance: ClawInstance): Promise<ReconcileResult> {
    const { kube, caches } = this.#options
    const { uid = '', namespace } = instance.metadata
    const copies = caches.configMaps.byIndex('owner', uid).filter((map) => isOwnedBy(map, instance))
    const old = unlikely(copies, instance).filter((map) => this.#idleMs(map) >= keepMs)
    const free = formerVersions(old, caches.runs.list(), namespace)
    for (const map of free) {
      await kube.delete(configMaps, map.metadata, { uid: map.metadata.uid })
      this.#asked.delete(keyOf(map))
    }
    return unlikely(copies, instance).length > free.length ? { requeueAfterMs: keepMs } : undefined
  }

  #idleMs(map: ConfigMap): number {
    const made = Date.parse(map.metadata.creationTimestamp ?? '') || 0
    const asked = this.#asked.get(keyOf(map))?.getTime() ?? 0
    return this.#now().getTime() - Math.max(made, asked)
  }
}

/** All but the newest copy of each ConfigMap that the instance still names. */
export function unlikely(copies: readonly ConfigMap[], instance: ClawInstance): ConfigMap[] {
  const named = new Set(instance.spec.skills?.flatMap(({ configMapRef }) => configMapRef?.name ?? []))
  const newest = new Map<string, ConfigMap>()
  const madeAt = (map: ConfigMap) => map.metadata.creationTimestamp ?? ''
  for (const copy of copies) {
    const source = copy.metadata.annotations?.[copyOfAnnotation] ?? ''
    const known = newest.get(source)
    if (named.has(source) && (!known || madeAt(copy) >= madeAt(known))) newest.set(source, copy)
  }
  const kept = new Set(newest.values())
  return copies.filter((copy) => !kept.has(copy))
}
