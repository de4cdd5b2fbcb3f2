import * as z from 'zod'
import { dnsLabel } from '#core/kinds'
import { idempotency } from '../kinds/runs.ts'
import { runRequest } from '../requests.ts'
import type { WhenLeft } from './rights.ts'

/** Parameters of `GET /v1/models`. */
export const modelsQuery = z.object({ namespace: dnsLabel.optional() })

/** Headers of `POST /v1/chat/completions`. */
export const chatHeaders = idempotency.extend({
  'x-k8sclaw-session': runRequest.shape.sessionKey,
  'x-k8sclaw-when-left': z.enum(['cancel', 'continue'] satisfies WhenLeft[]).optional(),
})
