import { type ClawInstance, clawInstances } from '#core/kinds'
import { callApi } from './apiserver.ts'
import { type ClusterOptions, connect } from './context.ts'
import type { OutputFormat } from './output.ts'
import { age, safe, table } from './terminal.ts'

interface Paired {
  instance: string
  channel: string
  sender: { id: string; name: string }
}

/** The channels of all instances and how they stand, as their services last said. */
export async function listChannels(
  options: ClusterOptions & { instance?: string; format: OutputFormat },
  now = new Date(),
): Promise<string> {
  const { kube, namespace } = await connect(options)
  const { format, allNamespaces = false } = options
  const { items } = await kube.list<ClawInstance>(clawInstances, { namespace: allNamespaces ? '*' : namespace })
  const found = items
    .filter(({ metadata }) => options.instance === undefined || metadata.name === options.instance)
    .flatMap(({ metadata, spec, status }) =>
      (spec.channels ?? []).map(({ name, type, access }) => {
        const { state = 'Pending', reason = '', message = '', lastHealthTime } = statusOf(status, name) ?? {}
        const where = { namespace: metadata.namespace ?? namespace, instance: metadata.name }
        return { ...where, name, type, access: access.mode, state, reason, message, lastHealthTime }
      }),
    )
  if (format === 'json') return JSON.stringify({ items: found }, null, 4)
  if (format === 'yaml') return (await import('./yaml-text.ts')).yamlText({ items: found })
  if (format === 'name') return found.map(({ instance, name }) => `${instance}/${name}`).join('\n')
  if (found.length === 0) return allNamespaces ? 'No channels found' : `No channels found in ${namespace} namespace.`
  const rows = found.map(({ lastHealthTime, message, ...row }) => [
    ...(allNamespaces ? [row.namespace] : []),
    ...[row.instance, row.name, row.type, row.access, row.state, row.reason],
    age(lastHealthTime, now),
    ...(format === 'wide' ? [safe(message)] : []),
  ])
  const heads = ['INSTANCE', 'NAME', 'TYPE', 'ACCESS', 'STATE', 'REASON', 'HEARD']
  return table([...(allNamespaces ? ['NAMESPACE'] : []), ...heads, ...(format === 'wide' ? ['MESSAGE'] : [])], rows)
}

/** Lets in the stranger who was given that code. */
export async function pairChannel(
  code: string,
  { instance, channel, ...options }: ClusterOptions & { instance?: string; channel?: string },
): Promise<string> {
  const { kube, namespace } = await connect(options)
  const body = { code, ...(instance !== undefined && { instance }), ...(channel !== undefined && { channel }) }
  const paired = await callApi<Paired>(kube, namespace, 'channels/pair', { method: 'POST', body })
  const { id, name } = paired.sender
  return `${safe(id)} (calls themselves ${JSON.stringify(safe(name))}) may now speak to ${paired.instance} by ${paired.channel}`
}

function statusOf(status: ClawInstance['status'], name: string) {
  return status?.channels?.find((channel) => channel.name === name)
}
