import {
  any,
  anyObject,
  boolean,
  described,
  keyedList,
  list,
  long,
  map,
  mergedSet,
  object,
  type Schema,
  string,
  time,
} from '../schema/schema.ts'

const ownerReference = object(
  {
    apiVersion: string,
    kind: string,
    name: string,
    uid: string,
    controller: boolean,
    blockOwnerDeletion: boolean,
  },
  ['apiVersion', 'kind', 'name', 'uid'],
)

/** metav1.ObjectMeta. */
export const objectMeta: Schema = described(
  object({
    name: string,
    generateName: string,
    namespace: string,
    selfLink: string,
    uid: string,
    resourceVersion: string,
    generation: long,
    creationTimestamp: time,
    deletionTimestamp: time,
    deletionGracePeriodSeconds: long,
    labels: map(string),
    annotations: map(string),
    ownerReferences: keyedList('uid', ownerReference),
    finalizers: mergedSet(string),
    managedFields: list(anyObject),
  }),
  'Name, namespace, labels, owners and what the server keeps about the object.',
)

/** The schema of a whole object from that of its own fields. */
export function wholeObject(fields: Record<string, Schema>, description: string, required: string[] = []): Schema {
  return described(object({ apiVersion: string, kind: string, metadata: objectMeta, ...fields }, required), description)
}

/** metav1.LabelSelector. */
export const labelSelector: Schema = object({
  matchLabels: map(string),
  matchExpressions: list(object({ key: string, operator: string, values: list(string) }, ['key', 'operator'])),
})

export const localReference: Schema = object({ name: string })

export const objectReference: Schema = object({
  apiVersion: string,
  kind: string,
  name: string,
  namespace: string,
  uid: string,
  resourceVersion: string,
  fieldPath: string,
})

/** metav1.Condition and its older siblings. */
export const conditions: Schema = keyedList(
  'type',
  object(
    {
      type: string,
      status: string,
      reason: string,
      message: string,
      observedGeneration: long,
      lastTransitionTime: time,
      lastUpdateTime: time,
      lastProbeTime: any,
      lastHeartbeatTime: time,
    },
    ['type', 'status'],
  ),
)
