/**
 * One pod from its binding to this node to its end, as kubelet runs it: volumes, init containers in order, sidecars,
 * main containers; then the sidecars in reverse. It writes nothing to the API; `onChange` says that `status` may differ.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type ContainerHost,
  ContainerRunner,
  type EarlierInstance,
  endOfRecord,
  nowText,
  type RestartRule,
} from './container.ts'
import { ConfigError } from './environment.ts'
import type { Container, Pod, PodStatus } from './objects.ts'
import { podStatus } from './pod-status.ts'
import { readRecord } from './record.ts'

export interface PodRunnerOptions {
  pod: Pod
  /** Holds everything of the pod; `<folder>/containers/<name>.json` are the containers' records. */
  folder: string
  podIP: string
  hostIP: string
  host: Omit<ContainerHost, 'changed' | 'podIP' | 'graceMs'>
  /** Makes the volumes; ConfigError while something is missing. */
  prepare(): Promise<void>
  onChange(): void
}

export class PodRunner {
  pod: Pod
  readonly #options: PodRunnerOptions
  readonly #init: ContainerRunner[]
  readonly #main: ContainerRunner[]
  readonly #stop = new AbortController()
  readonly #stopped = new Promise<void>((resolve) => {
    this.#stop.signal.addEventListener('abort', () => resolve())
  })
  readonly #startTime: string
  #initialized = false
  #over = false
  #failure: { reason: string; message: string } | undefined
  #graceMs: number
  #abandoned = false

  constructor(options: PodRunnerOptions) {
    const { pod, host, podIP } = options
    this.pod = pod
    this.#options = options
    this.#startTime = pod.status?.startTime ?? nowText()
    this.#graceMs = (pod.spec.terminationGracePeriodSeconds ?? 30) * 1000
    const containerHost: ContainerHost = {
      ...host,
      podIP,
      graceMs: this.#graceMs,
      changed: () => options.onChange(),
    }
    const restart = pod.spec.restartPolicy ?? 'Always'
    const runner = (spec: Container, rule: RestartRule) =>
      new ContainerRunner(spec, rule, containerHost, this.#earlier(spec))
    this.#init = (pod.spec.initContainers ?? []).map((spec) =>
      runner(spec, spec.restartPolicy ?? (restart === 'Never' ? 'Never' : 'OnFailure')),
    )
    this.#main = pod.spec.containers.map((spec) => runner(spec, restart))
  }

  /** Whether the pod has ended: none of its processes is left. */
  get isOver(): boolean {
    return this.#over
  }

  /** The node is being closed: what happens to the processes now is not news of the pod. */
  get isAbandoned(): boolean {
    return this.#abandoned
  }

  get status(): PodStatus {
    const state = {
      init: this.#init.map((c) => c.status),
      main: this.#main.map((c) => c.status),
      initialized: this.#initialized,
      over: this.#over,
      failure: this.#failure,
      podIP: this.#options.podIP,
      hostIP: this.#options.hostIP,
      startTime: this.#startTime,
    }
    return podStatus(this.pod, state, nowText())
  }

  /** Runs the pod to its end. */
  async run(): Promise<void> {
    const deadline = this.#watchDeadline()
    try {
      if (this.#resume()) return
      await this.#prepare()
      if (await this.#initialize()) {
        for (const container of this.#main) container.run()
        await Promise.all(this.#main.map((c) => c.done))
      }
    } finally {
      await this.#stopAll()
      deadline.abort()
      this.#over = true
      this.#options.onChange()
    }
  }

  /** Ends it; once more with less grace shortens what is left. `run` resolves afterwards. */
  end(graceMs: number, failure?: { reason: string; message: string }): void {
    this.#graceMs = Math.min(this.#graceMs, graceMs)
    this.#failure ??= failure
    this.#stop.abort()
    if (graceMs === 0) for (const container of [...this.#main, ...this.#init]) void container.stop(0)
    else for (const container of this.#main) void container.stop(this.#graceMs)
  }

  /** Ends the processes because the node closes; their records stay as of running ones, for the next node. */
  abandon(graceMs: number): void {
    this.#abandoned = true
    this.end(graceMs)
  }

  /** The node itself could not go on with it. */
  fail(reason: string, message: string): void {
    this.#failure ??= { reason, message }
    this.#options.onChange()
  }

  /**
   * After an earlier node: takes over from the records what had ended and is not to be repeated. What may not run again and was running has an unknown end. True when the pod is over by that.
   */
  #resume(): boolean {
    const records = new Map(this.#all.map((c) => [c, readRecord(recordPath(this.#options.folder, c.spec.name))]))
    const restart = this.pod.spec.restartPolicy ?? 'Always'
    const wasRun = [...records.values()].some((r) => r !== undefined)
    if (restart === 'Always' || !wasRun) return false
    for (const [container, record] of records) {
      const completed = record?.exitCode === 0 && this.#main.includes(container)
      if (restart === 'Never' || completed) container.recall(endOfRecord(record))
    }
    return this.#main.every((c) => c.isDone)
  }

  get #all(): ContainerRunner[] {
    return [...this.#init, ...this.#main]
  }

  async #prepare(): Promise<void> {
    const signal = this.#stop.signal
    while (!signal.aborted) {
      const changed = this.#options.host.inputsChanged(signal)
      try {
        return await this.#options.prepare()
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error
        this.#options.host.warn('FailedMount', error.message)
        await changed
      }
    }
  }

  /** Init containers in order; false when the pod ended meanwhile or one of them failed for good. */
  async #initialize(): Promise<boolean> {
    for (const container of this.#init) {
      if (this.#stop.signal.aborted) return false
      container.run()
      if (container.spec.restartPolicy === 'Always') await Promise.race([container.started, this.#stopped])
      else {
        await Promise.race([container.done, this.#stopped])
        if (container.exitCode !== 0) return false
      }
    }
    this.#initialized = !this.#stop.signal.aborted
    return this.#initialized
  }

  /** Main containers together, then the sidecars in reverse, all within one grace period. */
  async #stopAll(): Promise<void> {
    const until = Date.now() + this.#graceMs
    const left = () => Math.max(0, Math.min(until - Date.now(), this.#graceMs))
    await Promise.all(this.#main.map((c) => c.stop(left())))
    for (const container of this.#init.toReversed()) await container.stop(left())
  }

  #watchDeadline(): AbortController {
    const over = new AbortController()
    const seconds = this.pod.spec.activeDeadlineSeconds
    if (seconds !== undefined) {
      // The start is written in whole seconds; only a later node has to go by that.
      const began = this.pod.status?.startTime ? Date.parse(this.#startTime) : Date.now()
      const left = began + seconds * 1000 - Date.now()
      sleep(Math.max(0, left), undefined, { signal: over.signal }).then(
        () => {
          const message = 'Pod was active on the node longer than the specified deadline'
          this.end(this.#graceMs, { reason: 'DeadlineExceeded', message })
        },
        () => undefined,
      )
    }
    return over
  }

  #earlier(spec: Container): EarlierInstance | undefined {
    const record = readRecord(recordPath(this.#options.folder, spec.name))
    return record && { restartCount: record.restartCount, state: endOfRecord(record) }
  }
}

/** Where the record of a container is kept. */
export function recordPath(podFolder: string, container: string): string {
  return join(podFolder, 'containers', `${container}.json`)
}
