import * as z from 'zod'

/** A Kubernetes quantity without its sign: `500m`, `1.5`, `128974848`, `129e6`, `123Mi`. YAML may write a whole number. */
export const quantityPattern =
  '^([0-9]{1,18}(?:\\.[0-9]{0,9})?|\\.[0-9]{1,9})(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][-+]?[0-9]{1,2})?$'
export type Quantity = string | number

/** How many billionths one unit of a suffix is. */
const suffixes: Readonly<Record<string, bigint>> = {
  n: 1n,
  u: 10n ** 3n,
  m: 10n ** 6n,
  '': 10n ** 9n,
  k: 10n ** 12n,
  M: 10n ** 15n,
  G: 10n ** 18n,
  T: 10n ** 21n,
  P: 10n ** 24n,
  E: 10n ** 27n,
  Ki: (10n ** 9n) << 10n,
  Mi: (10n ** 9n) << 20n,
  Gi: (10n ** 9n) << 30n,
  Ti: (10n ** 9n) << 40n,
  Pi: (10n ** 9n) << 50n,
  Ei: (10n ** 9n) << 60n,
}

/**
 * The exact value of a quantity in billionths, the smallest step that Kubernetes knows; what is finer is rounded up, as
 * there. Throws RangeError for what is no quantity.
 */
export function quantityValue(quantity: Quantity): bigint {
  const [, number, suffix = ''] = String(quantity).match(new RegExp(quantityPattern)) ?? []
  if (number === undefined) throw new RangeError(`not a quantity: ${quantity}`)
  const [whole = '', fraction = ''] = number.split('.')
  const digits = BigInt(whole + fraction)
  const unit = suffixes[suffix]
  if (unit !== undefined) return divideUp(digits * unit, 10n ** BigInt(fraction.length))
  const exponent = Number(suffix.slice(1)) + 9 - fraction.length
  return exponent >= 0 ? digits * 10n ** BigInt(exponent) : divideUp(digits, 10n ** BigInt(-exponent))
}

function divideUp(dividend: bigint, divisor: bigint): bigint {
  return (dividend + divisor - 1n) / divisor
}

/** Whether `a` is more than `b`, whatever their units. */
export function exceeds(a: Quantity, b: Quantity): boolean {
  return quantityValue(a) > quantityValue(b)
}

/** The smallest of some quantities, as it was written; of equal ones the first. */
export function smallest(first: Quantity, ...others: Quantity[]): string {
  return String(others.reduce((least, one) => (exceeds(least, one) ? one : least), first))
}

/**
 * An amount of CPU or memory: at least `least`, which is above zero because Kubernetes takes a limit of zero for none at
 * all, and at most `most`. `inSteps` asks for a multiple of `least`, as Kubernetes grants no part of 1m CPU; of a byte
 * it takes the whole.
 */
function amount(least: string, most: string, { inSteps }: { inSteps: boolean }) {
  const problemWith = (quantity: Quantity): string | undefined => {
    if (exceeds(least, quantity)) return `must be at least ${least}`
    if (exceeds(quantity, most)) return `must be at most ${most}`
    return inSteps && quantityValue(quantity) % quantityValue(least) !== 0n
      ? `must be a multiple of ${least}`
      : undefined
  }
  // Aborting, so that nobody computes with what is no quantity: neither the rule below nor those of a schema around it.
  const error = { error: 'must be a quantity such as 500m, 2 or 512Mi', abort: true }
  const text = z.string().min(1, error).max(32, error).regex(new RegExp(quantityPattern), error)
  return z
    .union(
      [
        z
          .int()
          .min(1, error)
          .max(10 ** 15, error),
        text,
      ],
      error,
    )
    .superRefine((quantity, context) => {
      const message = problemWith(quantity)
      if (message) context.addIssue({ code: 'custom', message })
    })
    .meta({ 'x-kubernetes-int-or-string': true })
}

export const cpuQuantity = amount('1m', '10k', { inSteps: true })
export const memoryQuantity = amount('1', '1Pi', { inSteps: false })

const amounts = z.strictObject({ cpu: cpuQuantity.optional(), memory: memoryQuantity.optional() })

/** What a container asks for and may use at most, as in a pod. */
export const resources = z
  .strictObject({ requests: amounts.optional(), limits: amounts.optional() })
  .superRefine(({ requests = {}, limits = {} }, context) => {
    for (const name of ['cpu', 'memory'] as const) {
      const [request, limit] = [requests[name], limits[name]]
      if (request !== undefined && limit !== undefined && exceeds(request, limit))
        context.addIssue({ code: 'custom', path: ['requests', name], message: `must be at most the limit, ${limit}` })
    }
  })
export type ResourceWishes = z.infer<typeof resources>

/** The same, decided: nothing is open but the CPU limit, which may be absent for none. Written as text. */
export const decidedResources = z.object({
  requests: z.object({ cpu: z.string().max(32), memory: z.string().max(32) }),
  limits: z.object({ cpu: z.string().max(32).optional(), memory: z.string().max(32) }),
})
export type DecidedResources = z.infer<typeof decidedResources>
