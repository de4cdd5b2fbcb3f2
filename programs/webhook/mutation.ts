import { agentRuns, dnsLabel } from '#core/kinds'
import { checkAuthorship, isController, originOf } from './authorship.ts'
import type { AdmissionContext } from './context.ts'
import type { ReviewRequest } from './review.ts'

/** On every AgentRun, the name of its instance: what lists and selects runs goes by it. */
export const instanceLabel = 'k8sclaw.io/instance'

export type PatchOperation = { op: 'add'; path: string; value: unknown }

/** What admission adds to an object; throws ClawError `forbidden`, with its field, where it may not be asked for. */
export type Mutation = (request: ReviewRequest, context: AdmissionContext) => PatchOperation[]

/** By plural, as `admissions`. On creation alone: what defaults again on UPDATE trips over what is immutable. */
export const mutations: Readonly<Record<string, Mutation>> = { [agentRuns.plural]: mutateRun }

/** The schema comes after this, so any shape may come; what it will refuse is left to it. */
function mutateRun({ operation, object, userInfo }: ReviewRequest, { systemNamespace }: AdmissionContext) {
  const spec = object?.spec
  if (operation !== 'CREATE' || !isMap(spec)) return []
  if (!isController(userInfo, systemNamespace)) checkAuthorship(spec, userInfo)
  const labels = object?.metadata?.labels
  const instance = dnsLabel.safeParse(isMap(spec.instanceRef) ? spec.instanceRef.name : undefined)
  return [
    ...(spec.origin === undefined ? [add('/spec/origin', originOf(userInfo))] : []),
    ...(instance.success && !labels ? [add('/metadata/labels', {})] : []),
    ...(instance.success ? [add(`/metadata/labels/${instanceLabel.replace('/', '~1')}`, instance.data)] : []),
  ]
}

function add(path: string, value: unknown): PatchOperation {
  return { op: 'add', path, value }
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
