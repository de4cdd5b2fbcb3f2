import { badRequest } from '../api-error.ts'
import type { Kind } from '../kinds/index.ts'
import { parseFieldSelector, parseLabelSelector } from '../selector.ts'
import type { KubeObject, Selection } from '../types.ts'

export type Filter = (object: KubeObject) => boolean

/** The label and field selectors of a request as one test; undefined when everything passes. */
export function filterOf(kind: Kind, selection: Selection): Filter | undefined {
  const tests: Filter[] = []
  if (selection.labelSelector) {
    const matches = parseLabelSelector(selection.labelSelector)
    tests.push((object) => matches(object.metadata.labels ?? {}))
  }
  for (const { field, value, isEqual } of parseFieldSelector(selection.fieldSelector ?? '')) {
    const read = fieldReader(kind, field)
    tests.push((object) => (read(object) === value) === isEqual)
  }
  return tests.length === 0 ? undefined : (object) => tests.every((test) => test(object))
}

/** The name, where the field selector asks for just one: then nothing has to be searched. */
export function selectedName(selection: Selection): string | undefined {
  return parseFieldSelector(selection.fieldSelector ?? '').find(
    ({ field, isEqual }) => field === 'metadata.name' && isEqual,
  )?.value
}

const blank: KubeObject = {
  apiVersion: '',
  kind: '',
  metadata: { name: '', uid: '', resourceVersion: '', creationTimestamp: '' },
}

function fieldReader(kind: Kind, field: string): (object: KubeObject) => string {
  if (field === 'metadata.name') return (object) => object.metadata.name
  if (field === 'metadata.namespace') return (object) => object.metadata.namespace ?? ''
  const { fields } = kind.behaviour
  if (!fields || !Object.hasOwn(fields(blank), field)) {
    const known = '"metadata.name", "metadata.namespace"'
    const isPlain = !fields && !kind.custom
    throw badRequest(
      isPlain ? `"${field}" is not a known field selector: only ${known}` : `field label not supported: ${field}`,
    )
  }
  return (object) => fields(object)[field] ?? ''
}
