import { type Bus, purgeFiles } from '#core/bus'
import { sentOfRun, wasSaid } from '#core/channels'
import { roomFor, roomOfRun, storedFiles } from '#core/files'
import { type RunAddress, runFiles } from '#core/identity'
import { type AgentRun, isTerminal } from '#core/kinds'
import type { Informer } from '#core/kube'
import { type Turn, turnOf } from './turn.ts'

const MiB = 1024 * 1024
/** What the files of an instance, and of a namespace, may take of the store's 2 GiB. */
const usualBounds = { instance: 256 * MiB, namespace: 512 * MiB }
/** A run that the cache does not know within this was deleted again. */
const unseenMs = 60_000

export interface FileRoomOptions {
  bus: Bus
  /** With the indexes `uid` and `chats`. */
  runs: Informer<AgentRun>
  /** What an earlier process told a run that it may hand over, bytes; undefined where that is not known. */
  toldBefore: (run: AgentRun) => number | undefined
  bounds?: { instance: number; namespace: number }
}

/** What a run may store in each direction; undefined for what was not asked yet. */
interface Promised {
  address: RunAddress
  in?: number
  out?: number
  at: number
}

/**
 * How much of the store of files each run may fill: what lies there is counted, and what was promised to runs that are
 * not over counts as if it lay there already, so no instance and no namespace takes the room of all others. What an
 * earlier process promised is what the run's Job says, or else all that it could have been.
 */
export class FileRoom {
  readonly #options: FileRoomOptions
  readonly #promised = new Map<string, Promised>()
  /** Runs from before may hold promises of another process. */
  readonly #since = Date.now()

  constructor(options: FileRoomOptions) {
    this.#options = options
  }

  /** Bytes that what comes with the task of a run may take. */
  async toBring(run: AgentRun): Promise<number> {
    return await this.#promise(run, 'in', (left) => Math.min(left, wantedBy(turnOf(run))))
  }

  /** Bytes that what a run hands over may take: never all that is left, since most runs hand over nothing. */
  async toHandOver(run: AgentRun): Promise<number> {
    return await this.#promise(run, 'out', (left) => Math.min(left / 4, roomOfRun))
  }

  async #promise(run: AgentRun, direction: 'in' | 'out', share: (left: number) => number): Promise<number> {
    const address = addressOf(run)
    const left = await this.#left(address)
    // From here on without a pause: two runs are not promised the same room.
    const promised = this.#promised.get(address.uid) ?? { address, at: performance.now() }
    this.#promised.set(address.uid, promised)
    const others = left(this.#reserved(address.namespace))
    const own = direction === 'in' ? (promised.out ?? 0) : (promised.in ?? wantedBy(turnOf(run)))
    promised[direction] ??= Math.max(0, Math.floor(share(others - own)))
    return promised[direction]
  }

  /** What is free beside this run, given what is promised. */
  async #left({ namespace, instance, uid }: RunAddress) {
    const bounds = this.#options.bounds ?? usualBounds
    let stored = await storedFiles(this.#options.bus, namespace)
    const total = (held: Iterable<{ instance: string; bytes: number }>, of?: string) =>
      [...held].reduce((sum, one) => sum + (of === undefined || one.instance === of ? one.bytes : 0), 0)
    if (total(stored) > bounds.namespace / 2 || total(stored, instance) > bounds.instance / 2) {
      await Promise.all(stored.map((one) => this.#tidy(one)))
      stored = await storedFiles(this.#options.bus, namespace)
    }
    return (reserved: readonly (RunAddress & { bytes: number })[]) => {
      const held = new Map(stored.map((one) => [one.uid, one]))
      for (const one of reserved) {
        held.set(one.uid, { ...one, bytes: Math.max(one.bytes, held.get(one.uid)?.bytes ?? 0) })
      }
      held.delete(uid)
      const others = [...held.values()]
      return Math.min(bounds.instance - total(others, instance), bounds.namespace - total(others))
    }
  }

  /** What runs that are not over may still store. */
  #reserved(namespace: string): (RunAddress & { bytes: number })[] {
    const { runs, toldBefore } = this.#options
    for (const [uid, { at }] of this.#promised) {
      const [run] = runs.byIndex('uid', uid)
      if (run ? isTerminal(run.status?.phase) : performance.now() - at > unseenMs) this.#promised.delete(uid)
    }
    const held = new Map<string, RunAddress & { bytes: number }>()
    for (const run of runs.byIndex('chats', namespace)) {
      if (Date.parse(run.metadata.creationTimestamp ?? '') >= this.#since) continue
      const { in: brought = wantedBy(turnOf(run)), out } = this.#promised.get(uidOf(run)) ?? {}
      const handed = out ?? toldBefore(run) ?? mostHandedBy(run)
      held.set(uidOf(run), { ...addressOf(run), bytes: brought + handed })
    }
    for (const { address, in: brought = 0, out = 0 } of this.#promised.values()) {
      if (address.namespace === namespace && !held.has(address.uid)) {
        held.set(address.uid, { ...address, bytes: brought + out })
      }
    }
    return [...held.values()]
  }

  /** Forgets the files of a run that is over, once its channel has sent on what it handed over. */
  async #tidy(address: RunAddress): Promise<void> {
    const { bus, runs } = this.#options
    const [run] = runs.byIndex('uid', address.uid)
    const turn = run && isTerminal(run.status?.phase) && turnOf(run)
    if (!turn) return
    const isSaid = await wasSaid(bus, { ...address, channel: turn.channel }, sentOfRun(address.uid))
    if (isSaid) await purgeFiles(bus, runFiles(address).all)
  }
}

/** What the files that came with a task take, by what is said of them; of what nobody says anything, all that is allowed. */
function wantedBy(turn: Turn | undefined): number {
  const wanted = (turn?.files ?? []).reduce((sum, { size }) => sum + (size > 0 ? roomFor(size) : roomOfRun / 2), 0)
  return Math.min(wanted, roomOfRun)
}

/** What a run that was begun by an earlier process may have been promised at most. */
function mostHandedBy({ status }: AgentRun): number {
  return status?.effective?.sandbox?.enabled ? roomOfRun : 0
}

function uidOf({ metadata }: AgentRun): string {
  return metadata.uid ?? ''
}

function addressOf({ metadata, spec }: AgentRun): RunAddress {
  return { namespace: metadata.namespace ?? '', instance: spec.instanceRef.name, uid: metadata.uid ?? '' }
}
