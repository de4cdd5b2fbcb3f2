import { type AgentRun, isTerminal } from '#core/kinds'
import { keyOf } from '#core/kube'

export type MayStart = { start: true } | { start: false; reason: 'Queued' | 'SessionBusy'; message: string }

export interface CapacityFacts {
  run: AgentRun
  /** All runs of the same instance as far as they are known here; `run` may be among them. */
  siblings: readonly AgentRun[]
  /** uids of runs that were let start and whose Running phase may not be known here yet. */
  claimed: ReadonlySet<string>
  /** Whether one more may be Running beside so many of the same parent, or beside so many that have none. */
  hasRoom: (running: number) => boolean
  /** Tells apart runs that were created within one second: who was seen first. */
  arrival?: (run: AgentRun) => number
}

/**
 * Whether a Pending run may start: there is room, none of its session is Running, and nobody who waits for the same has
 * waited longer. Runs that nobody spawned share the room of the instance; the children of a run share one of their own,
 * so that a parent that waits for its children never waits for its own place. Runs that cannot start for reasons of
 * their own (references that do not exist) hold nobody up.
 */
export function mayStart(facts: CapacityFacts): MayStart {
  const { run, siblings, claimed, hasRoom, arrival = () => 0 } = facts
  const byCreation = (a: AgentRun, b: AgentRun) =>
    compare(a.metadata.creationTimestamp ?? '', b.metadata.creationTimestamp ?? '') ||
    arrival(a) - arrival(b) ||
    compare(a.metadata.name, b.metadata.name)
  const others = siblings.filter((other) => other.metadata.uid !== run.metadata.uid && !isTerminal(other.status?.phase))
  const isActive = (other: AgentRun) => other.status?.phase === 'Running' || claimed.has(other.metadata.uid ?? '')
  const active = others.filter(isActive)
  const ahead = others.filter((other) => !isActive(other) && canStart(other) && byCreation(other, run) < 0)

  const { sessionKey } = run.spec
  if (sessionKey !== undefined) {
    const holder = [...active, ...ahead].find((other) => other.spec.sessionKey === sessionKey)
    if (holder) {
      const message = `waits for ${holder.metadata.name}, which is ahead in session ${sessionKey}`
      return { start: false, reason: 'SessionBusy', message }
    }
  }
  const rivals = (list: readonly AgentRun[]) => list.filter((other) => parentOf(other) === parentOf(run))
  // Of those ahead, one a session counts: the others would wait for it in any case.
  const busy = new Set(active.flatMap((other) => other.spec.sessionKey ?? []))
  let before = 0
  for (const other of rivals(ahead).toSorted(byCreation)) {
    const key = other.spec.sessionKey
    if (key !== undefined && busy.has(key)) continue
    if (key !== undefined) busy.add(key)
    before++
  }
  const running = rivals(active).length
  if (hasRoom(running + before)) return { start: true }
  const whose = run.spec.parent ? `children of ${run.spec.parent.name}` : 'runs of the instance'
  return { start: false, reason: 'Queued', message: `${running} ${whose} are Running, ${before} wait ahead` }
}

function parentOf(run: AgentRun): string | undefined {
  return run.spec.parent?.name
}

function canStart(run: AgentRun): boolean {
  if (run.spec.cancel || run.metadata.deletionTimestamp) return false
  return !run.status?.conditions?.some((c) => c.type === 'Resolved' && c.status === 'False')
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a === b ? 0 : 1
}

/**
 * The order in which runs were first seen. Creation times have whole seconds, and messages of one chat may come faster;
 * a watch tells of them in the order of their creation. After a restart, names decide among those of one second.
 */
export class Arrivals {
  readonly #byUid = new Map<string, number>()
  #next = 0

  observe(run: AgentRun): void {
    this.#byUid.set(run.metadata.uid ?? '', this.#next++)
  }

  of(run: AgentRun): number {
    return this.#byUid.get(run.metadata.uid ?? '') ?? Number.MAX_SAFE_INTEGER
  }

  forget(run: AgentRun): void {
    this.#byUid.delete(run.metadata.uid ?? '')
  }
}

/**
 * Who was let start, remembered until the cache shows it: between the decision and the moment at which every reader
 * sees the phase Running lie two trips over the network, and in them nobody else may take the same place.
 */
export class Claims {
  readonly #byInstance = new Map<string, Set<string>>()

  of(run: AgentRun): ReadonlySet<string> {
    return this.#byInstance.get(instanceKeyOf(run)) ?? new Set()
  }

  add(run: AgentRun): void {
    const key = instanceKeyOf(run)
    const claimed = this.#byInstance.get(key) ?? new Set()
    claimed.add(run.metadata.uid ?? '')
    this.#byInstance.set(key, claimed)
  }

  /** Call with every version of a run that the cache shows, and with the last one when it is deleted. */
  observe(run: AgentRun, deleted = false): void {
    if (!deleted && (run.status?.phase ?? 'Pending') === 'Pending') return
    const key = instanceKeyOf(run)
    const claimed = this.#byInstance.get(key)
    claimed?.delete(run.metadata.uid ?? '')
    if (claimed?.size === 0) this.#byInstance.delete(key)
  }
}

/** The key of a run's ClawInstance. */
export function instanceKeyOf(run: AgentRun): string {
  return keyOf({ metadata: { name: run.spec.instanceRef.name, namespace: run.metadata.namespace } })
}
