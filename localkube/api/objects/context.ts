import type { User } from '../access/user.ts'
import type { Kind } from '../kinds/index.ts'
import type { KubeObject } from '../types.ts'
import type { FieldValidation } from './decode.ts'

/** What one request brings with it, besides the object. */
export interface RequestContext {
  user: User
  dryRun: boolean
  fieldValidation: FieldValidation
  /** Sentences for the client, filled while the request is worked on. */
  warnings: string[]
}

export interface AdmissionRequest {
  operation: 'CREATE' | 'UPDATE' | 'DELETE'
  kind: Kind
  subresource: string
  namespace: string
  name: string
  object: KubeObject | undefined
  oldObject: KubeObject | undefined
  context: RequestContext
}

/** Who may change or refuse a write before it happens. */
export interface Admission {
  /** A changed object, or undefined when nobody changed it. Throws the refusal. */
  mutate(request: AdmissionRequest): Promise<unknown>
  validate(request: AdmissionRequest): Promise<void>
}
