import type { Kube } from '#core/kube'
import type { Platform } from '#core/policy'
import type { ReviewRequest } from './review.ts'

/** What admission asks the API server, live: an informer's memory would refuse what was created a moment ago. */
export type Lookups = Pick<Kube, 'find' | 'list' | 'subjectAccessReview'>

export interface AdmissionContext {
  lookups: Lookups
  platform: Platform
  /** Of the platform's own programs, among them the controller. */
  systemNamespace: string
}

/** Resolves where the object may be written; throws ClawError `invalid` or `forbidden`, with its field, where not. */
export type Admission = (request: ReviewRequest, context: AdmissionContext) => Promise<void>
