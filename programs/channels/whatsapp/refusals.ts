import { type Refusal, ServiceError } from '../frame/index.ts'

/** What the numbers mean here. https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes */
const known: Readonly<Record<number, readonly [Refusal, string]>> = {
  0: ['token', 'WrongToken'],
  190: ['token', 'WrongToken'],
  3: ['token', 'MissingPermission'],
  10: ['token', 'MissingPermission'],
  131005: ['token', 'MissingPermission'],
  33: ['token', 'WrongNumberId'],
  133010: ['token', 'NotRegistered'],
  131045: ['token', 'NotRegistered'],
  131042: ['token', 'PaymentMissing'],
  368: ['token', 'AccountRestricted'],
  130497: ['token', 'AccountRestricted'],
  131031: ['token', 'AccountRestricted'],
  4: ['later', 'RateLimited'],
  80007: ['later', 'RateLimited'],
  130429: ['later', 'RateLimited'],
  131048: ['later', 'RateLimited'],
  131056: ['later', 'RateLimited'],
  1: ['later', 'Outage'],
  2: ['later', 'Outage'],
  131000: ['later', 'Outage'],
  131016: ['later', 'Outage'],
  131057: ['later', 'Outage'],
  133004: ['later', 'Outage'],
  131047: ['never', 'WindowClosed'],
  131026: ['never', 'Undeliverable'],
  131021: ['never', 'Undeliverable'],
  131030: ['never', 'NotOnTestList'],
  131049: ['never', 'HeldBack'],
  131050: ['never', 'HeldBack'],
  130472: ['never', 'HeldBack'],
  131051: ['never', 'FileTypeRefused'],
  131052: ['never', 'FileGone'],
  131053: ['never', 'FileTypeRefused'],
  131008: ['never', 'InvalidParameter'],
  131009: ['never', 'InvalidParameter'],
  100: ['never', 'InvalidParameter'],
}

/** Of a token that is refused: why. https://developers.facebook.com/docs/graph-api/guides/error-handling */
const tokenSubcodes: Readonly<Record<number, string>> = {
  458: 'Revoked',
  460: 'Revoked',
  463: 'Expired',
  467: 'Revoked',
}

/** At most one message to a person in six seconds, once what may be said at once is used up. */
const pairPauseMs = 6_000
/** The spam limit is one of hours. */
const spamPauseMs = 60_000

export interface Refused {
  code: number
  subcode?: number | undefined
  message: string
  /** HTTP's, where there was an answer. */
  status?: number | undefined
  /** How long Meta wants to be left alone, where it says. */
  afterMs?: number | undefined
}

/** What Meta answered, or said of a message later, as the frame tells failures apart. */
export function toServiceError({ code, subcode, message, status = 400, afterMs }: Refused): ServiceError {
  const [refusal, reason] = meaningOf(code, subcode, status)
  const pauseMs = code === 131056 ? pairPauseMs : code === 131048 ? spamPauseMs : undefined
  const words = `WhatsApp says: ${message.slice(0, 500)} (${code})`
  return new ServiceError(refusal, reason, words, {
    afterMs: (reason === 'RateLimited' ? afterMs : undefined) ?? pauseMs,
  })
}

function meaningOf(code: number, subcode: number | undefined, status: number): readonly [Refusal, string] {
  if (code === 190 && subcode !== undefined) return ['token', tokenSubcodes[subcode] ?? 'WrongToken']
  // The Graph API's way of saying that there is no such object, or none that this token may see.
  if (code === 100 && subcode === 33) return ['token', 'WrongNumberId']
  if (code >= 200 && code <= 299) return ['token', 'MissingPermission']
  if (code >= 132000 && code <= 132999) return ['never', 'TemplateRefused']
  const meaning = known[code]
  if (meaning) return meaning
  if (status === 401) return ['token', 'WrongToken']
  if (status === 429) return ['later', 'RateLimited']
  return status >= 500 ? ['later', 'Outage'] : ['never', 'Refused']
}
