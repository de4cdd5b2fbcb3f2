import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { errorMessage, isClawError } from '#core/errors'
import type { Logger } from '#core/telemetry'
import { type AdmissionContext, admissions } from './admission.ts'
import { admissionReview, type Denial, reviewAnswer } from './review.ts'

/** An object and the one before it, each at most what the API server itself accepts, with room for escapes. */
const maxBody = 16 * 1024 * 1024

export interface AppOptions extends AdmissionContext {
  isReady: () => boolean
  log: Logger
}

/** `POST /validate/<plural>`, `/healthz`, `/readyz`. No body, however wrong, is answered by anything but a status. */
export function webhookApp({ isReady, log, ...context }: AppOptions): Hono {
  const app = new Hono()
  app.get('/healthz', (c) => c.text('ok'))
  app.get('/readyz', (c) => (isReady() ? c.text('ok') : c.text('the API server is not told of this webhook yet', 503)))

  const limit = bodyLimit({ maxSize: maxBody, onError: (c) => c.text('the review is too large', 413) })
  app.post('/validate/:plural', limit, async (c) => {
    const plural = c.req.param('plural')
    const admit = Object.hasOwn(admissions, plural) ? admissions[plural] : undefined
    if (!admit) return c.text(`nothing is validated under ${plural.slice(0, 64)}`, 404)
    const body: unknown = await c.req.json().catch(() => undefined)
    const review = admissionReview.safeParse(body)
    if (!review.success) return c.text('not an AdmissionReview of admission.k8s.io/v1', 400)
    const { request } = review.data
    try {
      await admit(request, context)
      return c.json(reviewAnswer(request.uid, undefined))
    } catch (error) {
      const denial = denialOf(error)
      const { namespace, name } = request
      const fields = { plural, namespace, name, field: denial.field, reason: denial.reason }
      if (denial.code >= 500) log.error({ ...fields, err: error }, 'review failed')
      else log.info(fields, 'review denied')
      return c.json(reviewAnswer(request.uid, denial))
    }
  })

  app.onError((error, c) => {
    log.error({ err: error }, 'request failed')
    return c.text('internal error', 500)
  })
  return app
}

function denialOf(error: unknown): Denial {
  if (isClawError(error, 'invalid')) return { code: 422, reason: 'Invalid', message: error.message, field: error.field }
  // A 403 of our own look-ups is no verdict on the writer: only our refusals name a field.
  if (isClawError(error, 'forbidden') && error.field !== undefined)
    return { code: 403, reason: 'Forbidden', message: error.message, field: error.field }
  if (isClawError(error))
    return { code: 503, reason: 'ServiceUnavailable', message: `it cannot be judged now: ${error.message}` }
  return { code: 500, reason: 'InternalError', message: errorMessage(error) }
}
