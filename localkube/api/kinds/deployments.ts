import { objectAt } from '../json.ts'
import { type FieldError, invalid } from '../schema/index.ts'
import { boolean, integer, intOrString, long, object, string } from '../schema/schema.ts'
import type { KubeObject } from '../types.ts'
import { age, name } from './columns.ts'
import { defineKind, type Kind } from './kind.ts'
import { conditions, labelSelector, wholeObject } from './metadata.ts'
import { setDefaults } from './pod-defaults.ts'
import { podTemplate } from './pod-schema.ts'
import { unappliedOfDeployment } from './unapplied.ts'
import { column, defaultTemplate, number, templateColumns, validateTemplate } from './workload.ts'

const replicaCounts = {
  observedGeneration: long,
  replicas: integer,
  readyReplicas: integer,
  availableReplicas: integer,
  terminatingReplicas: integer,
  conditions,
}

export const deployments: Kind = defineKind({
  group: 'apps',
  version: 'v1',
  kind: 'Deployment',
  plural: 'deployments',
  shortNames: ['deploy'],
  categories: ['all'],
  hasStatus: true,
  hasGeneration: true,
  schema: wholeObject(
    {
      spec: object(
        {
          replicas: integer,
          selector: labelSelector,
          template: podTemplate,
          strategy: object({
            type: string,
            rollingUpdate: object({ maxUnavailable: intOrString, maxSurge: intOrString }),
          }),
          minReadySeconds: integer,
          revisionHistoryLimit: integer,
          paused: boolean,
          progressDeadlineSeconds: integer,
        },
        ['selector', 'template'],
      ),
      status: object({
        ...replicaCounts,
        updatedReplicas: integer,
        unavailableReplicas: integer,
        collisionCount: integer,
      }),
    },
    'Keeps a number of equal pods running, and replaces them when the template changes.',
  ),
  columns: [
    name,
    {
      name: 'Ready',
      type: 'string',
      value: (it) => `${number(objectAt(it, 'status').readyReplicas)}/${number(objectAt(it, 'spec').replicas)}`,
    },
    column('Up-to-date', 'status', 'updatedReplicas'),
    column('Available', 'status', 'availableReplicas'),
    age,
    ...templateColumns,
  ],
  behaviour: {
    defaults(it) {
      const spec = objectAt(it, 'spec')
      setDefaults(spec, {
        replicas: 1,
        revisionHistoryLimit: 10,
        progressDeadlineSeconds: 600,
        strategy: { type: 'RollingUpdate' },
      })
      const strategy = objectAt(spec, 'strategy')
      setDefaults(strategy, { type: 'RollingUpdate' })
      if (strategy.type === 'RollingUpdate') {
        setDefaults(strategy, { rollingUpdate: {} })
        setDefaults(objectAt(strategy, 'rollingUpdate'), { maxUnavailable: '25%', maxSurge: '25%' })
      }
      defaultTemplate(spec)
    },
    validate: (it, old) => [
      ...unappliedOfDeployment(it, old),
      ...validateReplicas(it),
      ...validateTemplate(it, old, ['Always']),
    ],
  },
})

export const replicaSets: Kind = defineKind({
  group: 'apps',
  version: 'v1',
  kind: 'ReplicaSet',
  plural: 'replicasets',
  shortNames: ['rs'],
  categories: ['all'],
  hasStatus: true,
  hasGeneration: true,
  schema: wholeObject(
    {
      spec: object({ replicas: integer, selector: labelSelector, template: podTemplate, minReadySeconds: integer }, [
        'selector',
      ]),
      status: object({ ...replicaCounts, fullyLabeledReplicas: integer }),
    },
    'Keeps a number of equal pods running; Deployments make them.',
  ),
  columns: [
    name,
    column('Desired', 'spec', 'replicas'),
    column('Current', 'status', 'replicas'),
    column('Ready', 'status', 'readyReplicas'),
    age,
    ...templateColumns,
  ],
  behaviour: {
    defaults(it) {
      const spec = objectAt(it, 'spec')
      setDefaults(spec, { replicas: 1 })
      defaultTemplate(spec)
    },
    validate: (it, old) => [
      ...unappliedOfDeployment(it, old),
      ...validateReplicas(it),
      ...validateTemplate(it, old, ['Always']),
    ],
  },
})

function validateReplicas(it: KubeObject): FieldError[] {
  const replicas = number(objectAt(it, 'spec').replicas)
  return replicas < 0 ? [invalid('spec.replicas', replicas, 'must be greater than or equal to 0')] : []
}
