/** What the kinds that make pods from a template have in common. */
import { equal, isObject, type Json, listAt, objectAt, stringAt } from '../json.ts'
import { type FieldError, invalid, required } from '../schema/index.ts'
import { matchesLabelSelector } from '../selector.ts'
import type { KubeObject } from '../types.ts'
import type { Column } from './kind.ts'
import { defaultPodSpec } from './pod-defaults.ts'
import { validatePodSpec } from './pod-validation.ts'
import { unappliedOfTemplate } from './unapplied.ts'

export function number(value: unknown): number {
  return typeof value === 'number' ? value : 0
}

export function column(header: string, ...path: string[]): Column {
  const last = path.at(-1) ?? ''
  return { name: header, type: 'integer', value: (it) => number(objectAt(it, ...path.slice(0, -1))[last]) }
}

export const templateColumns: Column[] = [
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

export function defaultTemplate(spec: Json): void {
  const podSpec = objectAt(spec, 'template').spec
  if (isObject(podSpec)) defaultPodSpec(podSpec)
}

export function validateTemplate(it: KubeObject, old: KubeObject | undefined, policies: string[]): FieldError[] {
  const spec = objectAt(it, 'spec')
  const podSpec = objectAt(spec, 'template', 'spec')
  const errors = [...unappliedOfTemplate(it, old), ...validatePodSpec(podSpec, 'spec.template.spec')]
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
