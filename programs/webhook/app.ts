import { type Context, Hono } from 'hono'
import { errorMessage, isClawError } from '#core/errors'
import type { Logger } from '#core/telemetry'
import { admissions } from './admission.ts'
import { BodyReader } from './body.ts'
import type { AdmissionContext } from './context.ts'
import { admissionReviews, admissionSeconds, operationOf } from './metrics.ts'
import { mutations, type PatchOperation } from './mutation.ts'
import { admissionReview, type Denial, type ReviewRequest, reviewAnswer } from './review.ts'

export interface AppOptions extends AdmissionContext {
  isReady: () => boolean
  log: Logger
}

/** What is asked of an object: to change it, or only to let it pass. */
type Judge = (request: ReviewRequest, context: AdmissionContext) => Promise<void> | PatchOperation[]

/**
 * `POST /mutate/<plural>`, `POST /validate/<plural>`, `/healthz`, `/readyz`. No body, however wrong, is answered by
 * anything but a status.
 */
export function webhookApp({ isReady, log, ...context }: AppOptions): Hono {
  const app = new Hono()
  app.get('/healthz', (c) => c.text('ok'))
  app.get('/readyz', (c) => (isReady() ? c.text('ok') : c.text('API servers do not trust this webhook yet', 503)))

  const bodies = new BodyReader()
  const answerWith = (what: 'mutate' | 'validate', judges: Readonly<Record<string, Judge>>) => async (c: Context) => {
    const plural = c.req.param('plural') ?? ''
    const judge = Object.hasOwn(judges, plural) ? judges[plural] : undefined
    if (!judge) return c.text(`nothing is judged under ${plural.slice(0, 64)}`, 404)
    return await bodies.read(c.req.raw, async (text) => {
      const review = admissionReview.safeParse(parseJson(text))
      if (!review.success) return c.text('not an AdmissionReview of admission.k8s.io/v1', 400)
      const { request } = review.data
      const judged = admissionSeconds.time()
      const count = (result: 'allowed' | Denial['reason']) => {
        judged({ judge: what })
        admissionReviews.add({ judge: what, resource: plural, operation: operationOf(request.operation), result })
      }
      try {
        const patch = (await judge(request, context)) ?? []
        count('allowed')
        return c.json(reviewAnswer(request.uid, { patch }))
      } catch (error) {
        const denial = denialOf(error)
        count(denial.reason)
        const { namespace, name } = request
        const fields = { plural, namespace, name, field: denial.field, reason: denial.reason }
        if (denial.code >= 500) log.error({ ...fields, err: error }, 'review failed')
        else log.info(fields, 'review denied')
        return c.json(reviewAnswer(request.uid, { denial }))
      }
    })
  }
  app.post('/mutate/:plural', answerWith('mutate', mutations))
  app.post('/validate/:plural', answerWith('validate', admissions))

  app.onError((error, c) => {
    if (isClawError(error, 'too_large')) return c.text(error.message, 413)
    // API servers ask again only where they are told when.
    if (isClawError(error, 'too_many')) return c.text(error.message, 503, { 'retry-after': '1' })
    log.error({ err: error }, 'request failed')
    return c.text('internal error', 500)
  })
  return app
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // Not a review, which is what it will be called.
  }
}

function denialOf(error: unknown): Denial {
  if (isClawError(error, 'invalid')) return { code: 422, reason: 'Invalid', message: error.message, field: error.field }
  // A 403 of our own look-ups is no verdict on the writer: only our refusals name a field.
  if (isClawError(error, 'forbidden') && error.field !== undefined)
    return { code: 403, reason: 'Forbidden', message: error.message, field: error.field }
  if (isClawError(error))
    return {
      ...{ code: 503, reason: 'ServiceUnavailable', message: `it cannot be judged now: ${error.message}` },
      retryAfterSeconds: 1,
    }
  return { code: 500, reason: 'InternalError', message: errorMessage(error) }
}
