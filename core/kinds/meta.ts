import * as z from 'zod'

/** RFC 1123 label: what Kubernetes allows for a namespace, and we for anything that becomes part of a bus subject. */
export const dnsLabelPattern = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'
/** RFC 1123 subdomain: what Kubernetes allows for the name of most objects. */
export const dnsSubdomainPattern = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'

export const dnsLabel = z.string().min(1).max(63).regex(new RegExp(dnsLabelPattern))
export const objectName = z.string().min(1).max(253).regex(new RegExp(dnsSubdomainPattern))
/** A reference to an object of the same namespace. */
export const localRef = z.strictObject({ name: objectName })

/** A rule in CEL as a structural schema holds it. */
export interface ValidationRule {
  rule: string
  message: string
}

const noNul = '^[^\\x00]*$'

/** Text of at most `max` characters without NUL, which PostgreSQL cannot store and C strings end at. */
export function text(max: number): z.ZodString {
  return z.string().max(max).regex(new RegExp(noNul), 'must not hold the NUL character')
}

/**
 * For an array of objects: no two elements for which `of` gives the same text; undefined is no text. `field` names it
 * in the message.
 */
export function unique<T>(
  field: string,
  of: (element: T) => string | undefined,
): (list: T[], context: z.RefinementCtx) => void {
  return (list, context) => {
    const seen = new Set<string>()
    for (const [index, element] of list.entries()) {
      const value = of(element)
      if (value === undefined) continue
      if (seen.has(value))
        context.addIssue({ code: 'custom', path: [index, ...field.split('.')], message: `${value} is listed twice` })
      seen.add(value)
    }
  }
}

/** Go duration text limited to h, m and s, such as `90s`, `10m`, `1h30m`. */
export const durationPattern = '^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$'
const longestSeconds = 7 * 24 * 3600
/** From one second to seven days: what a timer of every program here can hold, and none ends before it begins. */
export const duration = z
  .string()
  .min(2)
  .max(20)
  .regex(new RegExp(durationPattern))
  .refine((text) => durationSeconds(text) >= 1 && durationSeconds(text) <= longestSeconds, durationRule().message)
  .meta({ 'x-kubernetes-validations': [durationRule()] })

function durationRule(): ValidationRule {
  return {
    rule: `duration(self) >= duration('1s') && duration(self) <= duration('${longestSeconds / 3600}h')`,
    message: `must be from 1s to ${longestSeconds / 3600}h`,
  }
}

/** Seconds in a duration text such as `1h30m`. The text must have passed `duration`. */
export function durationSeconds(text: string): number {
  const unit = { h: 3600, m: 60, s: 1 } as const
  let seconds = 0
  for (const [, count, letter] of text.matchAll(/([0-9]+)([hms])/g)) {
    seconds += Number(count) * unit[letter as keyof typeof unit]
  }
  return seconds
}

/** RFC 3339 time. */
export const timestamp = z.string().max(40).meta({ format: 'date-time' })

/** One condition, after the Kubernetes API conventions. */
export const condition = z.object({
  type: z.string().min(1).max(316),
  status: z.enum(['True', 'False', 'Unknown']),
  reason: z.string().min(1).max(1024),
  message: z.string().max(32768),
  lastTransitionTime: timestamp,
  observedGeneration: z.int().min(0).optional(),
})
export type Condition = z.infer<typeof condition>

export const conditions = z
  .array(condition)
  .max(16)
  .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] })

/** The part of ObjectMeta that our programs read or write. */
export interface ObjectMeta {
  name: string
  namespace?: string
  generateName?: string
  uid?: string
  resourceVersion?: string
  generation?: number
  creationTimestamp?: string
  deletionTimestamp?: string
  labels?: Record<string, string>
  annotations?: Record<string, string>
  finalizers?: string[]
  ownerReferences?: OwnerReference[]
}

export interface OwnerReference {
  apiVersion: string
  kind: string
  name: string
  uid: string
  controller?: boolean
  blockOwnerDeletion?: boolean
}

/** Any Kubernetes object. */
export interface KubeObject {
  apiVersion: string
  kind: string
  metadata: ObjectMeta
}

/** An object as it is sent to be created: with `name`, or with `generateName` and no name. */
export type Unborn<T extends KubeObject> = Omit<T, 'metadata'> & {
  metadata: Omit<T['metadata'], 'name'> & { name?: string; generateName?: string; namespace?: string }
}

/** A condition list with one condition set; the transition time moves only when the status does. */
export function withCondition(
  list: readonly Condition[] | undefined,
  next: Omit<Condition, 'lastTransitionTime'>,
  now: Date,
): Condition[] {
  const previous = list?.find((c) => c.type === next.type)
  const lastTransitionTime = previous?.status === next.status ? previous.lastTransitionTime : rfc3339(now)
  const changed = { ...next, message: storable(next.message.slice(0, 1024)), lastTransitionTime }
  return previous ? (list ?? []).map((c) => (c.type === next.type ? changed : c)) : [...(list ?? []), changed]
}

/**
 * A text that somebody else wrote, without what an API server may refuse in a string or give back as another: NUL and
 * halves of characters.
 */
export function storable(text: string): string {
  return text.replaceAll('\0', '\uFFFD').toWellFormed()
}

/** RFC 3339 with whole seconds, as Kubernetes writes `metav1.Time`. */
export function rfc3339(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`
}
