const decimal: Record<string, number> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
}
const binary: Record<string, number> = { Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60 }

/** The number that a Kubernetes quantity such as `500m`, `64Mi` or `1e3` is; undefined where it is none. */
export function quantityOf(value: unknown): number | undefined {
  const [, digits, exponent, suffix] =
    /^([+-]?(?:\d+\.?\d*|\.\d+))(?:(e[+-]?\d+)|([A-Za-z]{0,2}))$/i.exec(String(value)) ?? []
  if (digits === undefined) return undefined
  if (exponent !== undefined) return Number(digits + exponent)
  const factor = { ...decimal, ...binary }[suffix ?? '']
  return factor === undefined ? undefined : Number(digits) * factor
}
