import { ClawError } from '#core/errors'
import { pathSegment } from '#core/kube'
import { callApi } from './apiserver.ts'
import { type ClusterOptions, connect } from './context.ts'
import type { OutputFormat } from './output.ts'
import { age, safe, table } from './terminal.ts'

interface Memory {
  id: string
  instance: string
  scope: string
  owner: string
  content: string
  run: string
  call: string
  createdAt: string
  expiresAt: string | null
}

export type MemoryOptions = ClusterOptions & { instance?: string; scope?: string; owner?: string }

/** How much of a memory a line of a table shows. */
const shown = 60

/** What the agents of a namespace remember, the newest first. */
export async function listMemories(options: MemoryOptions & { format: OutputFormat }): Promise<string> {
  const { kube, namespace } = await connect(options)
  const found: Memory[] = []
  for (let more: string | undefined = ''; more !== undefined; ) {
    const query = new URLSearchParams({ ...placeOf(options), limit: '100', ...(more && { continue: more }) })
    const page: { items: Memory[]; continue?: string } = await callApi(kube, namespace, `memories?${query}`)
    found.push(...page.items)
    more = page.continue
  }
  return await text(found, options.format, `No memories found in ${namespace} namespace.`)
}

/** Those that fit a text best. */
export async function searchMemories(
  query: string,
  options: MemoryOptions & { limit: number; format: OutputFormat },
): Promise<string> {
  const { kube, namespace } = await connect(options)
  const body = { query, limit: options.limit, ...placeOf(options) }
  const { items } = await callApi<{ items: Memory[] }>(kube, namespace, 'memories/search', { method: 'POST', body })
  return await text(items, options.format, `No memory in ${namespace} namespace fits.`)
}

/** One, with where it came from. */
export async function showMemory(id: string, options: ClusterOptions): Promise<string> {
  const { kube, namespace } = await connect(options)
  const memory = await callApi<Memory>(kube, namespace, `memories/${pathSegment(id)}`)
  return [
    `memory ${memory.id} of ${memory.instance}, ${placeName(memory)}`,
    `stored by run ${memory.run}, call ${safe(memory.call)}, at ${memory.createdAt}`,
    ...(memory.expiresAt === null ? [] : [`expires at ${memory.expiresAt}`]),
    '',
    safe(memory.content),
  ].join('\n')
}

/** Deletes those of these ids, or without ids all of one scope. */
export async function deleteMemories(ids: string[], options: MemoryOptions): Promise<string> {
  const { kube, namespace } = await connect(options)
  const place = placeOf(options)
  if (ids.length > 0) {
    if (Object.keys(place).length > 0)
      throw new ClawError('invalid', 'name memories by their ids, or a scope: not both')
    const lines: string[] = []
    for (const id of ids) {
      await callApi(kube, namespace, `memories/${pathSegment(id)}`, { method: 'DELETE' })
      lines.push(`memory ${safe(id)} deleted`)
    }
    return lines.join('\n')
  }
  if (!options.instance || !options.scope)
    throw new ClawError('invalid', 'name memories by their ids, or all of a scope by --instance and --scope')
  const query = new URLSearchParams(place)
  const { deleted } = await callApi<{ deleted: number }>(kube, namespace, `memories?${query}`, { method: 'DELETE' })
  return `${deleted} memories deleted`
}

function placeOf({ instance, scope, owner }: MemoryOptions): Record<string, string> {
  return {
    ...(instance !== undefined && { instance }),
    ...(scope !== undefined && { scope }),
    ...(owner !== undefined && { owner }),
  }
}

async function text(items: readonly Memory[], format: OutputFormat, none: string): Promise<string> {
  if (format === 'json') return JSON.stringify({ items }, null, 4)
  if (format === 'yaml') return (await import('./yaml-text.ts')).yamlText({ items })
  if (format === 'name') return items.map(({ id }) => id).join('\n')
  if (items.length === 0) return none
  const now = new Date()
  const rows = items.map((memory) => [
    memory.id,
    memory.instance,
    placeName(memory),
    age(memory.createdAt, now),
    brief(memory.content, format === 'wide' ? Number.POSITIVE_INFINITY : shown),
  ])
  return table(['ID', 'INSTANCE', 'OF', 'AGE', 'CONTENT'], rows)
}

function placeName({ scope, owner }: Memory): string {
  return scope === 'instance' ? scope : `${scope} ${safe(owner)}`
}

function brief(content: string, most: number): string {
  const line = safe(content.replaceAll(/\s+/g, ' '))
  return line.length > most ? `${line.slice(0, most - 1)}…` : line
}
