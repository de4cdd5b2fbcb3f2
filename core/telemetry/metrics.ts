/** What a metric is, before anybody asks for its values. */
export interface MetricDefinition {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
  /** Upper bounds of a histogram's buckets. */
  readonly buckets?: readonly number[]
}

/** Keeps the values of metrics; a process has one once it serves them. */
export interface MetricKeeper {
  add(metric: MetricDefinition, labels: Record<string, string>, by: number): void
  observe(metric: MetricDefinition, labels: Record<string, string>, value: number): void
}

/** Something that is counted and never given back. */
export interface Counter<L extends string> {
  add(labels: Record<L, string>, by?: number): void
}

/** Something that takes long or is large, in seconds or as its name says. */
export interface Histogram<L extends string> {
  observe(labels: Record<L, string>, value: number): void
  /** Seconds from now until the returned function is called; the labels may be known only then. */
  time(): (labels: Record<L, string>) => void
}

/** Something that is as it is at the moment of asking. */
export interface Gauge<L extends string> {
  /** Asks `read` whenever the metric is wanted, until the returned function is called; equal labels are added up. */
  watch(labels: Record<L, string>, read: () => number): () => void
}

interface Watched {
  labels: Record<string, string>
  read: () => number
}

const defined = new Map<string, MetricDefinition>()
const watched = new Map<MetricDefinition, Set<Watched>>()
let keeper: MetricKeeper | undefined

/** Usual bounds for what takes from a millisecond to a minute, in seconds. */
const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/** Defines a counter; its name ends in `_total`. */
export function counter<const L extends string = never>(
  name: string,
  help: string,
  labels: readonly L[] = [],
): Counter<L> {
  const metric = define({ name, type: 'counter', help, labels })
  return { add: (values, by = 1) => keeper?.add(metric, values, by) }
}

/** Defines a gauge. */
export function gauge<const L extends string = never>(name: string, help: string, labels: readonly L[] = []): Gauge<L> {
  const watchers = new Set<Watched>()
  watched.set(define({ name, type: 'gauge', help, labels }), watchers)
  return {
    watch(values, read) {
      const one = { labels: values, read }
      watchers.add(one)
      return () => watchers.delete(one)
    },
  }
}

/** Defines a histogram, of seconds unless told otherwise. */
export function histogram<const L extends string = never>(
  name: string,
  help: string,
  { labels = [], buckets = seconds }: { labels?: readonly L[]; buckets?: readonly number[] } = {},
): Histogram<L> {
  const metric = define({ name, type: 'histogram', help, labels, buckets })
  const observe = (values: Record<L, string>, value: number) => keeper?.observe(metric, values, value)
  return {
    observe,
    time() {
      const start = performance.now()
      return (values) => observe(values, (performance.now() - start) / 1000)
    },
  }
}

/** Every metric of the modules that were loaded, by name. */
export function definedMetrics(): MetricDefinition[] {
  return [...defined.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** The values of a gauge at this moment. */
export function gaugeValues(metric: MetricDefinition): { labels: Record<string, string>; value: number }[] {
  const sums = new Map<string, { labels: Record<string, string>; value: number }>()
  for (const { labels, read } of watched.get(metric) ?? []) {
    const key = JSON.stringify(metric.labels.map((label) => labels[label]))
    const sum = sums.get(key)
    if (sum) sum.value += read()
    else sums.set(key, { labels, value: read() })
  }
  return [...sums.values()]
}

/** From here on values are kept; before, and in a program that never serves them, counting costs nothing. */
export function keepMetrics(by: MetricKeeper): void {
  keeper = by
}

function define(metric: MetricDefinition): MetricDefinition {
  // A programmer's mistake, which the test of docs/metrics.md meets by loading them all.
  if (defined.has(metric.name)) throw new Error(`the metric ${metric.name} is defined twice`)
  defined.set(metric.name, metric)
  return metric
}
