import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { Logger } from './logger.ts'
import { definedMetrics, gaugeValues, keepMetrics, type MetricDefinition } from './metrics.ts'

export interface MetricsAddress {
  host: string
  port: number
}

/**
 * Begins to keep the metrics of this process, with those of Node itself, and serves them at `/metrics` in the text
 * format of Prometheus, to anybody who reaches this address: it is a port of its own, which the network keeps to those
 * who scrape. Without an address nothing is kept. The server does not keep the process alive.
 */
export async function serveMetrics(address: MetricsAddress | undefined, log: Logger): Promise<Server | undefined> {
  if (!address) return undefined
  // Here and not above: a program that serves no metrics does not load it.
  const { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } = await import('prom-client')
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const counters = new Map<MetricDefinition, InstanceType<typeof Counter>>()
  const histograms = new Map<MetricDefinition, InstanceType<typeof Histogram>>()
  for (const metric of definedMetrics()) {
    const { name, help, labels, type } = metric
    const common = { name, help, labelNames: [...labels], registers: [registry] }
    if (type === 'counter') counters.set(metric, new Counter(common))
    else if (type === 'histogram')
      histograms.set(metric, new Histogram({ ...common, buckets: [...(metric.buckets ?? [])] }))
    else
      new Gauge({
        ...common,
        collect() {
          this.reset()
          const values = gaugeValues(metric)
          for (const { labels, value } of values) this.set(labels, value)
          // What nobody watches has no value; without labels it would be given 0.
          if (values.length === 0 && labels.length === 0) this.remove()
        },
      })
  }
  keepMetrics({
    add: (metric, labels, by) => counters.get(metric)?.inc(labels, by),
    observe: (metric, labels, value) => histograms.get(metric)?.observe(labels, value),
  })

  const server = createServer((request, response) => {
    const asked = request.method === 'GET' && request.url?.split('?', 1)[0] === '/metrics'
    if (!asked) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('metrics are at /metrics\n')
      return
    }
    registry.metrics().then(
      (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
      (error: unknown) => {
        log.error({ err: error }, 'metrics not collected')
        response.writeHead(500).end()
      },
    )
  })
  server.listen(address.port, address.host)
  await once(server, 'listening')
  server.unref()
  log.info(address, 'serving metrics')
  return server
}
