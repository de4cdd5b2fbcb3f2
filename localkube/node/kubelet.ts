/** Runs the pods of this node: begins, ends and forgets them as the API says, and tells the API how they are. */
import { readdirSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { ApiError, type LogOptions, resources } from '#localkube/api'
import type { Addresses } from './addresses.ts'
import type { Claims } from './claims.ts'
import type { NodeContext } from './context.ts'
import { EventRecorder } from './event-recorder.ts'
import { isFinished, type Pod, type PodStatus } from './objects.ts'
import { PodHost, podFolder } from './pod-host.ts'
import { PodRunner } from './pod-runner.ts'
import { type ContainerRecord, readRecord } from './record.ts'
import { StatusWriter } from './status-writer.ts'
import { endSurvivors } from './survivors.ts'
import { limitedVolumes, type Watched, watchVolumeLimits } from './volume-limits.ts'

/** How long containers may take to end when the node closes. */
const closingGraceMs = 3000

interface Entry {
  host: PodHost
  runner: PodRunner
  writer: StatusWriter
  /** Resolves when the pod has ended and the API knows. */
  finished: Promise<void>
}

export class Kubelet {
  readonly #context: NodeContext
  readonly #addresses: Addresses
  readonly #claims: Claims
  readonly #events: EventRecorder
  readonly #entries = new Map<string, Entry>()
  readonly #waiting = new Set<() => void>()
  readonly #forgetting = new Set<Promise<void>>()

  constructor(context: NodeContext, addresses: Addresses, claims: Claims) {
    this.#context = context
    this.#addresses = addresses
    this.#claims = claims
    this.#events = new EventRecorder(context, 'kubelet')
  }

  /** Call it once the mirrors are filled. */
  async start(): Promise<void> {
    const { mirrors } = this.#context
    await this.#sweep()
    // Pods that lived before keep their addresses, so they choose first.
    const pods = mirrors.pods.all().toSorted((a, b) => Number(isRunning(b)) - Number(isRunning(a)))
    for (const pod of pods) this.#observe(pod)
    // What the API says of them is from before: nobody shall take it for how they are now.
    await Promise.all([...this.#entries.values()].map(({ writer }) => writer.flush()))
    mirrors.pods.subscribe((change) => {
      if (change.type === 'set') this.#observe(change.object)
      else this.#forget(change.object)
    })
    for (const kind of ['secrets', 'configMaps'] as const) {
      mirrors[kind].subscribe(({ object }) => {
        this.#inputsChanged()
        for (const { host, runner } of this.#entries.values()) {
          if (runner.pod.metadata.namespace === object.metadata.namespace && host.shows(kind, object.metadata.name))
            host.refresh()
        }
      })
    }
    mirrors.claims.subscribe(() => this.#inputsChanged())
    void watchVolumeLimits(() => this.#limitedVolumes(), this.#context)
  }

  logs(namespace: string, name: string, container: string, options: LogOptions, signal: AbortSignal) {
    const pod = this.#context.mirrors.pods.get(namespace, name)
    if (!pod) throw new ApiError(404, 'NotFound', `pods "${name}" not found`)
    const entry = this.#entries.get(pod.metadata.uid)
    return (entry?.host ?? this.#hostOf(pod, '')).logs(container, options, signal)
  }

  /** Ends every process without telling the API: the next start goes on from there. */
  async close(): Promise<void> {
    const entries = [...this.#entries.values()]
    for (const { runner } of entries) runner.abandon(closingGraceMs)
    await Promise.all(entries.map(({ finished }) => finished))
    await Promise.all(this.#forgetting)
    await Promise.all(entries.map(({ host }) => host.close()))
  }

  #observe(pod: Pod): void {
    const { uid, deletionTimestamp, deletionGracePeriodSeconds = 30 } = pod.metadata
    const entry = this.#entries.get(uid)
    if (!entry) {
      if (pod.spec.nodeName !== this.#context.nodeName) return
      if (!isFinished(pod)) this.#begin(pod)
      else if (deletionTimestamp) void this.#remove(pod)
      return
    }
    const { labels, annotations } = entry.runner.pod.metadata
    entry.runner.pod = pod
    entry.host.pod = pod
    // What the downward API shows of them follows.
    if (!isDeepStrictEqual([labels, annotations], [pod.metadata.labels, pod.metadata.annotations])) entry.host.refresh()
    if (!deletionTimestamp) return
    if (entry.runner.isOver) void entry.finished.then(() => this.#remove(pod))
    else entry.runner.end(deletionGracePeriodSeconds * 1000)
  }

  #begin(pod: Pod): void {
    const podIP = this.#addresses.take(pod.status?.podIP)
    const host = this.#hostOf(pod, podIP)
    const writer = new StatusWriter(
      pod.status,
      () => runner.status,
      (status) => this.#writeStatus(runner.pod, status),
    )
    const runner = new PodRunner({
      pod,
      folder: host.folder,
      podIP,
      hostIP: host.facts.hostIP,
      prepare: () => host.prepare(),
      onChange: () => {
        if (!runner.isAbandoned) writer.changed()
      },
      host: {
        start: (container, restartCount) => host.start(container, restartCount),
        ended: (container, exitCode, finishedAt) => {
          if (!runner.isAbandoned) host.ended(container, exitCode, finishedAt)
        },
        inputsChanged: (signal) => this.#nextInput(signal),
        warn: (reason, message) => this.#events.warn(runner.pod, reason, message),
      },
    })
    const finished = this.#live(runner, writer, host)
    this.#entries.set(pod.metadata.uid, { host, runner, writer, finished })
  }

  async #live(runner: PodRunner, writer: StatusWriter, host: PodHost): Promise<void> {
    await Promise.resolve()
    if (runner.pod.metadata.deletionTimestamp) runner.end((runner.pod.metadata.deletionGracePeriodSeconds ?? 0) * 1000)
    try {
      await runner.run()
    } catch (error) {
      runner.fail('NodeError', error instanceof Error ? error.message : String(error))
      this.#context.log('error', 'pod failed on the node', { ...nameOf(runner.pod), error: String(error) })
    }
    this.#addresses.release(host.facts.podIP)
    if (runner.isAbandoned) return
    await writer.flush()
    if (runner.pod.metadata.deletionTimestamp) await this.#remove(runner.pod)
  }

  /** Of the pods that run: those that have ended write nothing any more. */
  #limitedVolumes(): Watched[] {
    return [...this.#entries.values()].flatMap(({ host, runner }) =>
      limitedVolumes(runner.pod).flatMap((volume) => {
        const folder = host.volumeFolder(volume.name)
        const evict = (message: string) => {
          this.#events.warn(runner.pod, 'Evicted', message)
          runner.end(0, { reason: 'Evicted', message })
        }
        return folder === undefined || runner.isOver ? [] : [{ volume, folder, evict }]
      }),
    )
  }

  #hostOf(pod: Pod, podIP: string): PodHost {
    return new PodHost(this.#context, pod, podIP, (namespace, name) => this.#claims.folder(namespace, name))
  }

  async #writeStatus(pod: Pod, status: PodStatus): Promise<void> {
    const { resourceVersion: _, ...metadata } = pod.metadata
    try {
      const options = { subresource: 'status' } as const
      const written = await this.#context.client.update<Pod>(resources.pods, { ...pod, metadata, status }, options)
      this.#context.mirrors.pods.assume(written)
    } catch (error) {
      this.#tolerate(error, 'pod status not written', pod)
    }
  }

  /** The processes are gone, so the object may go. */
  async #remove(pod: Pod): Promise<void> {
    const { namespace, name, uid } = pod.metadata
    try {
      const options = { gracePeriodSeconds: 0, preconditions: { uid } }
      await this.#context.client.delete(resources.pods, { namespace, name }, options)
    } catch (error) {
      this.#tolerate(error, 'pod not removed', pod)
    }
  }

  /** The object is gone: what may still run is ended at once, and the folder removed. */
  #forget(pod: Pod): void {
    const entry = this.#entries.get(pod.metadata.uid)
    this.#entries.delete(pod.metadata.uid)
    const task = (async () => {
      entry?.runner.end(0)
      await entry?.finished
      await entry?.host.close()
      await rm(podFolder(this.#context.dataDir, pod.metadata.uid), { recursive: true, force: true })
    })().catch((error: unknown) =>
      this.#context.log('warn', 'pod folder not removed', { ...nameOf(pod), error: String(error) }),
    )
    this.#forgetting.add(task)
    void task.finally(() => this.#forgetting.delete(task))
  }

  /** Ends what an earlier node left running, and removes what it left of pods that no longer exist. */
  async #sweep(): Promise<void> {
    const { dataDir, mirrors } = this.#context
    const known = new Set(mirrors.pods.all().map((pod) => podFolder(dataDir, pod.metadata.uid)))
    const folders = (await readdir(join(dataDir, 'pods')).catch(() => [])).map((name) => join(dataDir, 'pods', name))
    endSurvivors(dataDir, folders.flatMap(recordsIn))
    const gone = folders.filter((folder) => !known.has(folder))
    await Promise.all(gone.map((folder) => rm(folder, { recursive: true, force: true })))
  }

  #nextInput(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#waiting.delete(done)
        signal.removeEventListener('abort', done)
        resolve()
      }
      if (signal.aborted) return resolve()
      signal.addEventListener('abort', done)
      this.#waiting.add(done)
    })
  }

  #inputsChanged(): void {
    for (const wake of [...this.#waiting]) wake()
  }

  /** The object may have gone, or have been replaced, meanwhile; anything else is worth a line. */
  #tolerate(error: unknown, message: string, pod: Pod): void {
    if (error instanceof ApiError && (error.code === 404 || error.code === 409)) return
    if (this.#context.signal.aborted) return
    this.#context.log('error', message, { ...nameOf(pod), error: String(error) })
  }
}

function isRunning(pod: Pod): boolean {
  return pod.status?.podIP !== undefined && !isFinished(pod)
}

function nameOf(pod: Pod): { namespace: string; pod: string } {
  return { namespace: pod.metadata.namespace, pod: pod.metadata.name }
}

function recordsIn(folder: string): ContainerRecord[] {
  try {
    const names = readdirSync(join(folder, 'containers')).filter((name) => name.endsWith('.json'))
    return names.map((name) => readRecord(join(folder, 'containers', name))).filter((record) => record !== undefined)
  } catch {
    return []
  }
}
