import { randomUUID } from 'node:crypto'
import { equal, isObject, type Json, listAt, objectAt, stringAt } from '../json.ts'
import { invalid } from '../schema/index.ts'
import { any, boolean, integer, long, object, string, time } from '../schema/schema.ts'
import type { KubeObject } from '../types.ts'
import { age, durationText, name } from './columns.ts'
import { defineKind, type Kind } from './kind.ts'
import { conditions, labelSelector, wholeObject } from './metadata.ts'
import { setDefaults } from './pod-defaults.ts'
import { podTemplate } from './pod-schema.ts'
import { unappliedOfJob } from './unapplied.ts'
import { defaultTemplate, number, templateColumns, validateTemplate } from './workload.ts'

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
      ...unappliedOfJob(it, old),
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
