import * as z from 'zod'

const userInfo = z.object({
  username: z.string().default(''),
  uid: z.string().optional(),
  groups: z.array(z.string()).optional(),
  extra: z.record(z.string(), z.array(z.string())).optional(),
})

const reviewed = z.looseObject({
  metadata: z.looseObject({ labels: z.record(z.string(), z.string()).optional() }).optional(),
  spec: z.unknown().optional(),
})

/** The part of an AdmissionReview (admission.k8s.io/v1) that is read here. */
export const admissionReview = z.object({
  apiVersion: z.literal('admission.k8s.io/v1'),
  kind: z.literal('AdmissionReview'),
  request: z.object({
    uid: z.string().min(1),
    operation: z.string(),
    namespace: z.string().default(''),
    name: z.string().optional(),
    userInfo: userInfo.prefault({}),
    object: reviewed.nullish(),
    oldObject: reviewed.nullish(),
  }),
})
export type ReviewRequest = z.infer<typeof admissionReview>['request']

/** Why an object is not admitted, as the API server passes it on. */
export interface Denial {
  code: number
  /** A `metav1.StatusReason`. */
  reason: 'Invalid' | 'Forbidden' | 'ServiceUnavailable' | 'InternalError'
  message: string
  field?: string | undefined
  /** After which the same may be asked again; kubectl does by itself. */
  retryAfterSeconds?: number
}

/** The answer to one review: allowed, and changed by a JSON patch where that holds something, or denied. */
export function reviewAnswer(uid: string, { denial, patch = [] }: { denial?: Denial; patch?: readonly object[] }) {
  const status = denial && {
    status: 'Failure',
    code: denial.code,
    reason: denial.reason,
    message: denial.message,
    ...detailsOf(denial),
  }
  const changes = patch.length > 0 && {
    patchType: 'JSONPatch',
    patch: Buffer.from(JSON.stringify(patch)).toString('base64'),
  }
  const response = { uid, allowed: denial === undefined, ...(status && { status }), ...changes }
  return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response }
}

function detailsOf(denial: Denial): object {
  const { field, retryAfterSeconds } = denial
  if (retryAfterSeconds !== undefined) return { details: { retryAfterSeconds } }
  if (field === undefined) return {}
  return { details: { causes: [{ reason: 'FieldValueInvalid', field, message: causeOf(denial) }] } }
}

/** kubectl writes the field before the message of a cause; our messages begin with it already. */
function causeOf({ field, message }: Denial): string {
  return message.startsWith(`${field}: `) ? message.slice(`${field}: `.length) : message
}
