import { type ClawInstance, clawInstances } from '#core/kinds'
import { getObject, listObjects, type PrintedOptions } from './objects.ts'
import type { View } from './output.ts'
import { age } from './terminal.ts'

const instanceView: View<ClawInstance> = {
  resource: 'clawinstance.k8sclaw.io',
  heads: ['NAME', 'PHASE', 'ACTIVE', 'MODEL', 'AGE'],
  wideHeads: ['PROVIDER', 'POLICY'],
  row: ({ metadata, spec, status }, now) => [
    metadata.name,
    status?.phase ?? 'Pending',
    String(status?.activeRuns ?? 0),
    spec.agents.default?.model.name ?? '',
    age(metadata.creationTimestamp, now),
    spec.agents.default?.model.provider ?? '',
    spec.policyRef?.name ?? '',
  ],
}

export const listInstances = (options: PrintedOptions) => listObjects(clawInstances, instanceView, options)
export const getInstance = (name: string, options: PrintedOptions) =>
  getObject(clawInstances, instanceView, name, options)
