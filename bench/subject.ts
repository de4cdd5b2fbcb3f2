import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Agent,
  type AgentRun,
  agentRuns,
  type ClawInstance,
  clawInstances,
  isTerminal,
  type KubeObject,
  type Resource,
} from '#core/kinds'
import { Informer, type Kube, loadKube, type Secret, secrets } from '#core/kube'
import type { TestPlatform } from '../test/support/platform.ts'

/** How long anything that a bench waits for may take. */
const patienceMs = 60_000

/** The platform that is measured, with a watch that says when something was first seen. Times are of Date.now(). */
export class Subject {
  readonly platform: TestPlatform
  readonly kube: Kube
  readonly #stop = new AbortController()

  private constructor(platform: TestPlatform, kube: Kube) {
    this.platform = platform
    this.kube = kube
  }

  static async prepare(platform: TestPlatform): Promise<Subject> {
    const subject = new Subject(platform, await loadKube({ env: platform.env }))
    await platform.kubectl(['apply', '-f', 'config/samples/'])
    await subject.finished('sample')
    return subject
  }

  close(): void {
    this.#stop.abort()
    this.kube.close()
  }

  /** Makes an instance whose default agent is this one, with a Secret for its provider where it is named. */
  async instance(
    name: string,
    agent: Partial<Agent>,
    secret?: string,
    more: Partial<ClawInstance['spec']> = {},
  ): Promise<void> {
    const model = agent.model ?? { provider: 'demo', name: 'demo' }
    await this.kube.create<ClawInstance>(clawInstances, {
      apiVersion: 'k8sclaw.io/v1alpha1',
      kind: 'ClawInstance',
      metadata: { name, namespace: 'default' },
      spec: {
        agents: { default: { timeout: '2m', ...agent, model } },
        maxConcurrentRuns: 10,
        ...(secret ? { authRefs: [{ provider: model.provider, secretRef: { name: secret } }] } : {}),
        ...more,
      },
    })
  }

  async secret(name: string, stringData: Record<string, string>): Promise<void> {
    const metadata = { name, namespace: 'default' }
    await this.kube.create<Secret>(secrets, { apiVersion: 'v1', kind: 'Secret', metadata, stringData })
  }

  /** Creates an AgentRun; resolves with the time at which the request was sent. */
  async createRun(name: string, spec: Partial<AgentRun['spec']>): Promise<number> {
    const at = Date.now()
    await this.kube.create<AgentRun>(agentRuns, {
      apiVersion: 'k8sclaw.io/v1alpha1',
      kind: 'AgentRun',
      metadata: { name, namespace: 'default' },
      spec: { instanceRef: { name: 'sample' }, agent: 'default', task: 'Which system is this?', ...spec },
    })
    return at
  }

  /**
   * Begins to watch; `seen` is the first object for which `holds`, and when this process saw it. What is measured is
   * created after this has resolved, so that no first list is in the figure.
   */
  async watch<T extends KubeObject>(
    resource: Resource,
    holds: (object: T) => boolean,
  ): Promise<{ seen: Promise<{ object: T; at: number }> }> {
    const done = new AbortController()
    const informer = new Informer<T>(this.kube, resource, { namespace: 'default' })
    const { promise, resolve, reject } = Promise.withResolvers<{ object: T; at: number }>()
    const look = (object: T) => {
      if (holds(object)) resolve({ object, at: Date.now() })
    }
    informer.on({ add: look, update: look })
    const running = informer.run(AbortSignal.any([done.signal, this.#stop.signal]))
    const impatience = setTimeout(() => {
      reject(new Error(`what was watched for in ${resource.plural} did not come in ${patienceMs} ms`))
    }, patienceMs)
    const ended = async () => {
      clearTimeout(impatience)
      done.abort()
      await running
    }
    const seen = (async () => {
      try {
        return await promise
      } finally {
        await ended()
      }
    })()
    seen.catch(() => {})
    await Promise.race([informer.synced(), seen])
    return { seen }
  }

  /** The run once it is over, and when this process saw that; throws unless it succeeded. */
  async finished(name: string): Promise<{ object: AgentRun; at: number }> {
    const over = (run: AgentRun) => run.metadata.name === name && isTerminal(run.status?.phase)
    const { seen } = await this.watch<AgentRun>(agentRuns, over)
    return succeeded(await seen)
  }

  /** Creates a run and waits for its success. */
  async perform(name: string, spec: Partial<AgentRun['spec']>) {
    const over = (run: AgentRun) => run.metadata.name === name && isTerminal(run.status?.phase)
    const { seen } = await this.watch<AgentRun>(agentRuns, over)
    const createdAt = await this.createRun(name, spec)
    const { object, at } = succeeded(await seen)
    return { run: object, createdAt, seenAt: at }
  }

  /** The events of a run, to its end, from the API server. */
  async events(name: string): Promise<{ type: string; data: Record<string, unknown> }[]> {
    const response = await this.platform.fetch(`/api/v1/namespaces/default/runs/${name}/events`, {
      headers: { accept: 'text/event-stream' },
      signal: AbortSignal.timeout(patienceMs),
    })
    if (!response.ok) throw new Error(`the events of ${name} were answered ${response.status}`)
    return [...(await response.text()).matchAll(/^event: (.*)\ndata: (.*)$/gm)].map(([, type = '', data = '{}']) => ({
      type,
      data: JSON.parse(data) as Record<string, unknown>,
    }))
  }

  /** Asks again until there is an answer. */
  async until<T>(what: string, find: () => Promise<T | undefined> | T | undefined): Promise<T> {
    for (let waited = 0; waited < patienceMs; waited += 20) {
      const found = await find()
      if (found !== undefined) return found
      await sleep(20)
    }
    throw new Error(`${what} was not there after ${patienceMs} ms`)
  }
}

function succeeded(seen: { object: AgentRun; at: number }): { object: AgentRun; at: number } {
  const { metadata, status } = seen.object
  if (status?.phase !== 'Succeeded') {
    throw new Error(`the run ${metadata.name} ended as ${status?.phase} (${status?.reason}): ${status?.error ?? ''}`)
  }
  return seen
}
