/**
 * The metrics of the process of a test, read as whoever scrapes them reads them. Served once in a file of tests, before
 * what it counts happens: counts begin then.
 */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createLogger, serveMetrics } from '#core/telemetry'

export interface TestMetrics {
  /**
   * The samples whose names begin so, by the rest of the name and the labels; of a histogram only how many there were,
   * since how long something took is no test's to say.
   */
  values(prefix: string): Promise<Record<string, number>>
  close(): Promise<void>
}

export async function startMetrics(): Promise<TestMetrics> {
  const log = createLogger('test')
  log.level = 'silent'
  const server = await serveMetrics({ host: '127.0.0.1', port: 0 }, log)
  if (!server) throw new Error('no metrics are served')
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    values: (prefix) => metricValues(address, prefix),
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** The same of a program that serves them at this address. */
export async function metricValues(address: string, prefix: string): Promise<Record<string, number>> {
  const text = await (await fetch(`http://${address}/metrics`)).text()
  const lines = text.split('\n').filter((line) => line.startsWith(prefix))
  const samples = lines.map((line) => /^(\S+?(?:\{.*\})?) (\S+)$/.exec(line) ?? [])
  return Object.fromEntries(
    samples
      .filter(([, name = '']) => !/_(sum|bucket)(\{|$)/.test(name))
      .map(([, name = '', value]) => [name.slice(prefix.length), Number(value)]),
  )
}
