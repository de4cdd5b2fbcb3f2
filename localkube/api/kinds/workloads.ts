import { randomUUID } from 'node:crypto'
import { equal, isObject, type Json, listAt, objectAt, stringAt } from '../json.ts'
import { type FieldError, invalid, required } from '../schema/index.ts'
import { any, boolean, integer, intOrString, long, object, string, time } from '../schema/schema.ts'
import { matchesLabelSelector } from '../selector.ts'
import type { KubeObject } from '../types.ts'
import { age, durationText, name } from './columns.ts'
import { type Column, defineKind, type Kind } from './kind.ts'
import { conditions, labelSelector, wholeObject } from './metadata.ts'
import { defaultPodSpec, setDefaults } from './pod-defaults.ts'
import { podTemplate } from './pod-schema.ts'
import { validatePodSpec } from './pod-validation.ts'

function number(value: unknown): number {
  return typeof value === 'number' ? value : 0
}

function column(header: string, ...path: string[]): Column {
  const last = path.at(-1) ?? ''
  return { name: header, type: 'integer', value: (it) => number(objectAt(it, ...path.slice(0, -1))[last]) }
}

const templateColumns: Column[] = [
  {
    name: 'Containers',
    type: 'string',
    priority: 1,
    value: (it) =>
      listAt(it, 'spec', 'template', 'spec', 'containers')
        .map((c) => stringAt(c, 'name'))
        .join(','),
  },
  {
    name: 'Images',
    type: 'string',
    priority: 1,
    value: (it) =>
      listAt(it, 'spec', 'template', 'spec', 'containers')
        .map((c) => stringAt(c, 'image'))
        .join(','),
  },
]

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
    validate: (it, old) => [...validateReplicas(it), ...validateTemplate(it, old, ['Always'])],
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
    validate: (it, old) => [...validateReplicas(it), ...validateTemplate(it, old, ['Always'])],
  },
})

export const jobs: Kind = defineKind({
  group: 'batch',
  version: 'v1',
  kind: 'Job',
  plural: 'jobs',
  categories: ['all'],
  hasStatus: true,
  hasGeneration: true,
  defaultPropagation: 'Orphan',
  schema: wholeObject(
    {
      spec: object(
        {
          parallelism: integer,
          completions: integer,
          activeDeadlineSeconds: long,
          podFailurePolicy: any,
          successPolicy: any,
          backoffLimit: integer,
          backoffLimitPerIndex: integer,
          maxFailedIndexes: integer,
          selector: labelSelector,
          manualSelector: boolean,
          template: podTemplate,
          ttlSecondsAfterFinished: integer,
          completionMode: string,
          suspend: boolean,
          podReplacementPolicy: string,
          managedBy: string,
        },
        ['template'],
      ),
      status: object({
        conditions,
        startTime: time,
        completionTime: time,
        active: integer,
        succeeded: integer,
        failed: integer,
        terminating: integer,
        ready: integer,
        completedIndexes: string,
        failedIndexes: string,
        uncountedTerminatedPods: any,
      }),
    },
    'Runs pods until a number of them have succeeded.',
  ),
  columns: [
    name,
    { name: 'Status', type: 'string', value: jobStatus },
    {
      name: 'Completions',
      type: 'string',
      value: (it) => `${number(objectAt(it, 'status').succeeded)}/${number(objectAt(it, 'spec').completions)}`,
    },
    { name: 'Duration', type: 'string', value: jobDuration },
    age,
    ...templateColumns,
  ],
  behaviour: {
    defaults(it) {
      const spec = objectAt(it, 'spec')
      setDefaults(spec, {
        parallelism: 1,
        completions: 1,
        backoffLimit: 6,
        completionMode: 'NonIndexed',
        suspend: false,
        manualSelector: false,
        podReplacementPolicy: 'TerminatingOrFailed',
      })
      defaultTemplate(spec)
    },
    onCreate: labelJob,
    onUpdate(it, old) {
      const spec = objectAt(it, 'spec')
      setDefaults(spec, { selector: objectAt(old, 'spec').selector })
      const labels = objectAt(old, 'spec', 'template', 'metadata', 'labels')
      const template = objectAt(spec, 'template')
      const metadata = isObject(template.metadata) ? template.metadata : {}
      template.metadata = { ...metadata, labels: { ...labels, ...objectAt(metadata, 'labels') } }
    },
    validate: (it, old) => [
      ...validateTemplate(it, old, ['OnFailure', 'Never']),
      ...(old && !equal(objectAt(it, 'spec', 'template'), objectAt(old, 'spec', 'template'))
        ? [invalid('spec.template', objectAt(it, 'spec').template, 'field is immutable')]
        : []),
    ],
    fields: (it) => ({ 'status.successful': String(number(objectAt(it, 'status').succeeded)) }),
  },
})

/** A Job finds its pods by a label that no other Job has: its own uid. */
function labelJob(job: Json): void {
  const spec = objectAt(job, 'spec')
  const metadata = objectAt(job, 'metadata')
  if (spec.manualSelector === true) return
  const uid = stringAt(metadata, 'uid') || randomUUID()
  const template = objectAt(spec, 'template')
  const templateMeta = isObject(template.metadata) ? template.metadata : {}
  const jobName = stringAt(metadata, 'name')
  template.metadata = {
    ...templateMeta,
    labels: {
      ...objectAt(templateMeta, 'labels'),
      'controller-uid': uid,
      'job-name': jobName,
      'batch.kubernetes.io/controller-uid': uid,
      'batch.kubernetes.io/job-name': jobName,
    },
  }
  spec.selector = { matchLabels: { 'batch.kubernetes.io/controller-uid': uid } }
}

function defaultTemplate(spec: Json): void {
  const podSpec = objectAt(spec, 'template').spec
  if (isObject(podSpec)) defaultPodSpec(podSpec)
}

function validateReplicas(it: KubeObject): FieldError[] {
  const replicas = number(objectAt(it, 'spec').replicas)
  return replicas < 0 ? [invalid('spec.replicas', replicas, 'must be greater than or equal to 0')] : []
}

function validateTemplate(it: KubeObject, old: KubeObject | undefined, policies: string[]): FieldError[] {
  const spec = objectAt(it, 'spec')
  const podSpec = objectAt(spec, 'template', 'spec')
  const errors = validatePodSpec(podSpec, 'spec.template.spec')
  if (!policies.includes(stringAt(podSpec, 'restartPolicy'))) {
    const values = policies.map((policy) => `"${policy}"`).join(', ')
    errors.push({
      reason: 'FieldValueNotSupported',
      field: 'spec.template.spec.restartPolicy',
      detail: `Unsupported value: "${stringAt(podSpec, 'restartPolicy')}": supported values: ${values}`,
    })
  }
  const labels = objectAt(spec, 'template', 'metadata', 'labels')
  if (!isObject(spec.selector) || Object.keys(spec.selector).length === 0) errors.push(required('spec.selector'))
  else if (!matchesLabelSelector(spec.selector, labels)) {
    errors.push(invalid('spec.template.metadata.labels', labels, '`selector` does not match template `labels`'))
  }
  if (old && !equal(spec.selector, objectAt(old, 'spec').selector)) {
    errors.push(invalid('spec.selector', spec.selector, 'field is immutable'))
  }
  return errors
}

function jobStatus(job: KubeObject): string {
  const is = (type: string): boolean =>
    listAt(job, 'status', 'conditions').some((c) => stringAt(c, 'type') === type && stringAt(c, 'status') === 'True')
  if (is('Complete')) return 'Complete'
  if (is('Failed')) return 'Failed'
  if (job.metadata.deletionTimestamp) return 'Terminating'
  if (is('Suspended')) return 'Suspended'
  return 'Running'
}

function jobDuration(job: KubeObject): string {
  const start = stringAt(job, 'status', 'startTime')
  if (!start) return ''
  const end = stringAt(job, 'status', 'completionTime')
  return durationText(((end ? Date.parse(end) : Date.now()) - Date.parse(start)) / 1000)
}
