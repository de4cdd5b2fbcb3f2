/** One measured figure, as bench/results/latest.json holds it. */
export interface Figure {
  unit: string
  p50: number
  p90: number
  p99: number
  n: number
  /** What the figure is held against, in the same unit: a floor measured beside it, or else the goal. */
  reference: number
  /** p50 divided by the reference. */
  ratio: number
}

export interface Bench {
  /** Names of the figures that `take` can measure. */
  figures: readonly string[]
  /** Measures those that are wanted; a figure may be a Skip. What it throws is the reason why none could be taken. */
  take(wanted: readonly string[]): Promise<Record<string, Figure | Skip>>
}

/** A figure that could not be taken, and why. */
export interface Skip {
  skipped: string
}

export function isSkip(figure: Figure | Skip): figure is Skip {
  return 'skipped' in figure
}

/** The figure of some samples. */
export function figure(unit: string, samples: readonly number[], reference: number): Figure | Skip {
  if (samples.length === 0) return { skipped: 'no sample was taken' }
  const p50 = quantile(samples, 0.5)
  return {
    unit,
    p50: round(p50),
    p90: round(quantile(samples, 0.9)),
    p99: round(quantile(samples, 0.99)),
    n: samples.length,
    reference: round(reference),
    ratio: round(p50 / reference),
  }
}

/** The smallest sample that at least the part `q` of all do not exceed. */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = samples.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * q) - 1)] ?? Number.NaN
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5)
}

/** Milliseconds that something took. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}

/** Four digits that say something. */
function round(value: number): number {
  return Number(value.toPrecision(4))
}

/** Why something could not be measured, in one line. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return text.split('\n', 1)[0] ?? ''
}
