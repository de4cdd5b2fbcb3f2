/**
 * Writes a pod's status when it differs from what was written, one write at a time and the latest only. What others act
 * on (phase, readiness, the end of a main container) is written at once; the rest may wait for company.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { PodStatus } from './objects.ts'

const companyMs = 100

export class StatusWriter {
  readonly #read: () => PodStatus
  readonly #write: (status: PodStatus) => Promise<void>
  #written: PodStatus | undefined
  #writing: Promise<void> | undefined
  #dirty = false
  #hurry = new AbortController()

  constructor(written: PodStatus | undefined, read: () => PodStatus, write: (status: PodStatus) => Promise<void>) {
    this.#written = written
    this.#read = read
    this.#write = write
  }

  /** The status may differ. */
  changed(): void {
    this.#dirty = true
    if (this.#isUrgent(this.#read())) this.#hurry.abort()
    this.#writing ??= this.#run()
  }

  /** Writes what is left to write now. */
  async flush(): Promise<void> {
    this.changed()
    this.#hurry.abort()
    await this.#writing
  }

  async #run(): Promise<void> {
    try {
      while (this.#dirty) {
        this.#dirty = false
        await sleep(companyMs, undefined, { signal: this.#hurry.signal }).catch(() => undefined)
        this.#hurry = new AbortController()
        const status = this.#read()
        if (isDeepStrictEqual(status, this.#written)) continue
        await this.#write(status)
        this.#written = status
      }
    } finally {
      this.#writing = undefined
    }
  }

  #isUrgent(status: PodStatus): boolean {
    return !isDeepStrictEqual(essence(status), this.#written && essence(this.#written))
  }
}

function essence(status: PodStatus): unknown {
  const containers = [...(status.containerStatuses ?? [])]
  return [
    status.phase,
    status.reason,
    status.conditions?.find((c) => c.type === 'Ready')?.status,
    containers.map((c) => [c.state.terminated?.exitCode, c.state.waiting?.reason]),
    (status.initContainerStatuses ?? []).map((c) => c.state.waiting?.reason),
  ]
}
