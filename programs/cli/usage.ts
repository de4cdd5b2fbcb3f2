import { callApi } from './apiserver.ts'
import { type ClusterOptions, connect } from './context.ts'
import type { OutputFormat } from './output.ts'
import { table } from './terminal.ts'

interface Usage {
  day: string
  instance: string
  agent: string | null
  policy: string | null
  provider: string
  model: string
  calls: number
  inputTokens: number
  outputTokens: number
  failed: number
  unmetered: number
  costMicroUSD: number | null
}

const dayMs = 86_400_000

/** What a namespace used of each model by day, for the last so many days, today included (UTC). */
export async function showUsage(
  options: ClusterOptions & { instance?: string; days: number; format: OutputFormat },
  now = new Date(),
): Promise<string> {
  const { kube, namespace } = await connect(options)
  const date = (days: number) => new Date(now.getTime() + days * dayMs).toISOString().slice(0, 10)
  const { instance } = options
  const query = new URLSearchParams({ from: date(1 - options.days), to: date(1), ...(instance && { instance }) })
  const { items } = await callApi<{ items: Usage[] }>(kube, namespace, `usage?${query}`)
  if (options.format === 'json') return JSON.stringify({ items }, null, 4)
  if (options.format === 'yaml') return (await import('./yaml-text.ts')).yamlText({ items })
  if (items.length === 0) return `No usage found in ${namespace} namespace.`
  const rows = items.map((row) => [
    ...[row.day, row.instance, row.agent ?? '', `${row.provider}/${row.model}`],
    ...[row.calls, row.inputTokens, row.outputTokens].map(String),
    costText(row),
    ...(options.format === 'wide' ? [row.policy ?? '', String(row.failed), String(row.unmetered)] : []),
  ])
  const wide = options.format === 'wide' ? ['POLICY', 'FAILED', 'UNMETERED'] : []
  return table(['DAY', 'INSTANCE', 'AGENT', 'MODEL', 'CALLS', 'INPUT', 'OUTPUT', 'COST', ...wide], rows)
}

/** Dollars at list price: `>` where some calls are not in it, and `unknown` where nobody knows. */
export function costText({ costMicroUSD, unmetered }: Pick<Usage, 'costMicroUSD' | 'unmetered'>): string {
  if (costMicroUSD === null) return 'unknown'
  return `${unmetered > 0 ? '>' : ''}$${(costMicroUSD / 1_000_000).toFixed(costMicroUSD % 10_000 === 0 ? 2 : 6)}`
}
