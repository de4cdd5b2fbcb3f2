/** Tells the API's readers (kubectl describe) what went wrong with an object; each thing once. */
import { type KubeObject, resources } from '#localkube/api'
import { nowText } from './container.ts'
import type { NodeContext } from './context.ts'

const remembered = 1000

export class EventRecorder {
  readonly #context: NodeContext
  readonly #component: string
  readonly #kind: { apiVersion: string; kind: string }
  readonly #told = new Set<string>()

  /** `component`: who says it, of objects of this kind. */
  constructor(context: NodeContext, component: string, kind = { apiVersion: 'v1', kind: 'Pod' }) {
    this.#context = context
    this.#component = component
    this.#kind = kind
  }

  /** A warning; failing to write it fails nothing else. */
  warn(object: KubeObject, reason: string, message: string): void {
    const { namespace = '', name, uid } = object.metadata
    const key = `${uid}/${reason}/${message}`
    if (this.#told.has(key) || this.#context.signal.aborted) return
    if (this.#told.size >= remembered) this.#told.clear()
    this.#told.add(key)
    const now = nowText()
    const event = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { namespace, generateName: `${name.slice(0, 200)}.` },
      involvedObject: { ...this.#kind, namespace, name, uid },
      type: 'Warning',
      reason,
      message: message.slice(0, 1024),
      source: { component: this.#component, host: this.#context.nodeName },
      reportingComponent: this.#component,
      reportingInstance: this.#context.nodeName,
      firstTimestamp: now,
      lastTimestamp: now,
      count: 1,
    }
    this.#context.client.create(resources.events, event).catch((error: unknown) => {
      if (!this.#context.signal.aborted)
        this.#context.log('warn', 'event not written', { namespace, object: name, error: String(error) })
    })
  }
}
