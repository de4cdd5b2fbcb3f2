/**
 * One container of a pod over its whole life: started, watched by its probes, restarted with back-off as its policy
 * says, stopped. It decides nothing about its siblings.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { ConfigError } from './environment.ts'
import type { Container, ContainerState, ContainerStatus } from './objects.ts'
import { watchProbe } from './probe.ts'
import type { ContainerProcess } from './process.ts'
import type { ContainerRecord } from './record.ts'

/** Restart after every end, after a failure, or never. */
export type RestartRule = 'Always' | 'OnFailure' | 'Never'

/** What the pod does for its containers. */
export interface ContainerHost {
  podIP: string
  /** How long a container may take to end when it is asked to. */
  graceMs: number
  /** Starts the process of this instance and its log. ConfigError while something that it names is missing. */
  start(container: Container, restartCount: number): Promise<ContainerProcess>
  /** The process has ended with this exit code. */
  ended(container: Container, exitCode: number, finishedAt: string): void
  /** Resolves once something that a container could have waited for has changed. */
  inputsChanged(signal: AbortSignal): Promise<void>
  /** The status differs from before. */
  changed(): void
  warn(reason: string, message: string): void
}

export interface EarlierInstance {
  restartCount: number
  state: ContainerState
}

const firstBackoffMs = 10_000
const longestBackoffMs = 300_000
/** After running this long a container has recovered, and its back-off starts anew. */
const recoveredMs = 600_000

export class ContainerRunner {
  readonly spec: Container
  readonly #rule: RestartRule
  readonly #host: ContainerHost
  readonly #stop = new AbortController()
  readonly #started = Promise.withResolvers<void>()
  readonly #done = Promise.withResolvers<void>()
  #process: ContainerProcess | undefined
  #state: ContainerState = { waiting: { reason: 'PodInitializing' } }
  #lastState: ContainerState = {}
  #restartCount = 0
  #ready = false
  #isStarted = false
  #isDone = false
  #running = false

  /** `earlier` is its last instance under a node that has ended: starting it is a restart then. */
  constructor(spec: Container, rule: RestartRule, host: ContainerHost, earlier?: EarlierInstance) {
    this.spec = spec
    this.#rule = rule
    this.#host = host
    if (!earlier) return
    this.#restartCount = earlier.restartCount + 1
    this.#lastState = earlier.state
  }

  /** Resolves once it runs and its startup probe has succeeded, or once it is done. */
  get started(): Promise<void> {
    return this.#started.promise
  }

  /** Resolves once it has ended and will not be started again. */
  get done(): Promise<void> {
    return this.#done.promise
  }

  get isDone(): boolean {
    return this.#isDone
  }

  /** Of its last instance, once it has ended. */
  get exitCode(): number | undefined {
    return (this.#state.terminated ?? this.#lastState.terminated)?.exitCode
  }

  get status(): ContainerStatus {
    return {
      name: this.spec.name,
      image: this.spec.image,
      imageID: '',
      ready: this.#ready,
      started: this.#isStarted,
      restartCount: this.#restartCount,
      state: this.#state,
      lastState: this.#lastState,
    }
  }

  /** Runs it until it is done. */
  run(): void {
    if (this.#running || this.#isDone) return
    this.#running = true
    void this.#loop().then(() => this.#finish())
  }

  /** SIGTERM, SIGKILL after the grace period, no restart. Resolves once it has ended. */
  async stop(graceMs: number): Promise<void> {
    this.#stop.abort()
    if (!this.#running) {
      this.#finish()
      return
    }
    if (this.#process) await endWithin(this.#process, graceMs)
    await this.done
  }

  /** It is not started again: its instance under an earlier node was its last one. */
  recall(state: ContainerState): void {
    this.#restartCount = Math.max(0, this.#restartCount - 1)
    this.#lastState = {}
    this.#state = state
    this.#finish()
  }

  #finish(): void {
    this.#isDone = true
    this.#ready = false
    this.#isStarted = false
    this.#started.resolve()
    this.#done.resolve()
    this.#host.changed()
  }

  async #loop(): Promise<void> {
    let backoffMs = 0
    for (;;) {
      const began = Date.now()
      const exitCode = await this.#runOnce()
      if (exitCode === undefined || this.#stop.signal.aborted) return
      if (this.#rule === 'Never' || (this.#rule === 'OnFailure' && exitCode === 0)) return
      const ended = this.#state
      if (Date.now() - began >= recoveredMs) backoffMs = 0
      if (backoffMs > 0) {
        this.#lastState = ended
        const message = `back-off ${backoffMs / 1000}s restarting failed container=${this.spec.name}`
        this.#wait('CrashLoopBackOff', message)
        this.#host.warn('BackOff', message)
        await sleep(backoffMs, undefined, { signal: this.#stop.signal }).catch(() => undefined)
        if (this.#stop.signal.aborted) {
          this.#state = ended
          return
        }
      }
      this.#lastState = ended
      backoffMs = Math.min(Math.max(backoffMs * 2, firstBackoffMs), longestBackoffMs)
      this.#restartCount++
    }
  }

  /** One instance; its exit code, or undefined where it was stopped before it began. */
  async #runOnce(): Promise<number | undefined> {
    try {
      const process = await this.#startWhenPossible()
      return process && (await this.#watch(process))
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      this.#state = terminated(128, 'StartError', nowText(), message)
      this.#host.warn('Failed', message)
      this.#host.changed()
      return 128
    }
  }

  /** Tries again whenever something changes that could have been missing; undefined once stopped. */
  async #startWhenPossible(): Promise<ContainerProcess | undefined> {
    const signal = this.#stop.signal
    while (!signal.aborted) {
      const changed = this.#host.inputsChanged(signal)
      try {
        this.#process = await this.#host.start(this.spec, this.#restartCount)
        if (signal.aborted) this.#process.kill()
        return this.#process
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error
        const reason = error instanceof ImageMissing ? 'ErrImageNeverPull' : 'CreateContainerConfigError'
        this.#wait(reason, error.message)
        this.#host.warn('Failed', error.message)
        await changed
      }
    }
    return undefined
  }

  /** From start to end of one instance. */
  async #watch(process: ContainerProcess): Promise<number> {
    const startedAt = nowText()
    const probes = new AbortController()
    this.#state = { running: { startedAt } }
    if (!this.spec.startupProbe) this.#markStarted(process, probes.signal)
    else this.#watchStartup(process, probes.signal)
    this.#host.changed()
    const exitCode = await process.exited
    probes.abort()
    this.#process = undefined
    this.#ready = false
    this.#isStarted = false
    this.#state = terminated(exitCode, exitCode === 0 ? 'Completed' : 'Error', startedAt)
    this.#host.ended(this.spec, exitCode, this.#state.terminated?.finishedAt ?? '')
    this.#host.changed()
    return exitCode
  }

  #markStarted(process: ContainerProcess, signal: AbortSignal): void {
    this.#isStarted = true
    this.#ready = this.spec.readinessProbe === undefined
    this.#started.resolve()
    const target = this.#target(process)
    const { readinessProbe, livenessProbe } = this.spec
    if (readinessProbe) {
      void watchProbe(readinessProbe, target, signal, (ready) => {
        if (ready === this.#ready) return
        this.#ready = ready
        if (!ready) this.#host.warn('Unhealthy', `container ${this.spec.name} failed its readiness probe`)
        this.#host.changed()
      })
    }
    if (livenessProbe) this.#endWhenUnhealthy(livenessProbe, 'liveness', process, signal)
  }

  #watchStartup(process: ContainerProcess, signal: AbortSignal): void {
    const probe = this.spec.startupProbe
    if (!probe) return
    const over = new AbortController()
    this.#endWhenUnhealthy(probe, 'startup', process, AbortSignal.any([signal, over.signal]), () => {
      over.abort()
      this.#markStarted(process, signal)
      this.#host.changed()
    })
  }

  #endWhenUnhealthy(
    probe: NonNullable<Container['livenessProbe']>,
    name: string,
    process: ContainerProcess,
    signal: AbortSignal,
    onHealthy: () => void = () => undefined,
  ): void {
    const over = new AbortController()
    void watchProbe(probe, this.#target(process), AbortSignal.any([signal, over.signal]), (healthy) => {
      if (healthy) return onHealthy()
      over.abort()
      this.#host.warn('Unhealthy', `container ${this.spec.name} failed its ${name} probe and is restarted`)
      const own = probe.terminationGracePeriodSeconds
      void endWithin(process, own === undefined ? this.#host.graceMs : own * 1000)
    })
  }

  #target(process: ContainerProcess) {
    return {
      podIP: this.#host.podIP,
      container: this.spec,
      execute: (command: string[], timeoutMs: number) => process.execute(command, timeoutMs),
    }
  }

  #wait(reason: string, message: string): void {
    this.#state = { waiting: { reason, message } }
    this.#host.changed()
  }
}

/** SIGTERM, then SIGKILL after the grace period. Resolves once it has ended. */
async function endWithin(process: ContainerProcess, graceMs: number): Promise<void> {
  const early = new AbortController()
  if (graceMs > 0) {
    await process.terminate()
    const grace = sleep(graceMs, undefined, { signal: early.signal }).catch(() => undefined)
    await Promise.race([process.exited, grace])
    early.abort()
  }
  process.kill()
  await process.exited
}

/** The image is not in the node's table; it may not be pulled either. */
export class ImageMissing extends ConfigError {}

export function terminated(exitCode: number, reason: string, startedAt: string, message?: string): ContainerState {
  return { terminated: { exitCode, reason, ...(message && { message }), startedAt, finishedAt: nowText() } }
}

/** How an instance ended that an earlier node started: as its record says, or nobody knows. */
export function endOfRecord(record: ContainerRecord | undefined): ContainerState {
  if (record?.exitCode !== undefined) {
    return terminated(record.exitCode, record.exitCode === 0 ? 'Completed' : 'Error', record.startedAt)
  }
  const message = record ? 'the node was restarted while the container ran' : 'the node was restarted before it ran'
  return terminated(137, 'ContainerStatusUnknown', record?.startedAt ?? nowText(), message)
}

/** Kubernetes writes times in whole seconds. */
export function nowText(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, 'Z')
}
