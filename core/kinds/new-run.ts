import type { AgentRun, AgentRunSpec } from './agent-run.ts'
import type { Unborn } from './meta.ts'
import { agentRuns, apiVersion } from './resources.ts'

/** What somebody asks for who wants a task done; what is left out is the agent's own. */
export type WantedRun = { instance: string; task: string } & Optional<
  Omit<AgentRunSpec, 'instanceRef' | 'task' | 'cancel'>
>
type Optional<T> = { [K in keyof T]?: T[K] | undefined }

/** Longest part of the instance's name that leaves room for the suffix in a DNS label. */
const prefixLength = 50

/** What a name may begin with. Of anything else it says nothing, so that what is refused is the wish and not the name. */
const nameable = /^[a-z0-9][a-z0-9-]*$/

/** The AgentRun to create for it, however the wish came; Kubernetes gives it its name. */
export function newRun(namespace: string, { instance, task, agent = 'default', ...rest }: WantedRun): Unborn<AgentRun> {
  return {
    apiVersion,
    kind: agentRuns.kind,
    metadata: { namespace, generateName: `${nameable.test(instance) ? instance.slice(0, prefixLength) : 'run'}-` },
    spec: { instanceRef: { name: instance }, agent, task, ...present(rest) },
  }
}

/** Without the fields that are undefined: absent is absent. */
function present<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const set = Object.entries(fields).filter(([, value]) => value !== undefined)
  return Object.fromEntries(set) as { [K in keyof T]: Exclude<T[K], undefined> }
}
