import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { errorMessage } from '#core/errors'
import { type Kube, type Service, services } from '#core/kube'
import type { HostAlias } from '../resources/job.ts'

export type Hosts = { aliases: HostAlias[] } | { missing: string }

export interface HostsOptions {
  kube: Kube
  systemNamespace: string
  /** Of the servers that a run's pod speaks to. */
  urls: readonly string[]
  /** The address of a host that is no Service of ours. */
  resolve?: (host: string) => Promise<string>
}

/** How long an address is believed. A Service keeps its own for life; what was resolved by DNS may move. */
const believedMs = 60_000

/**
 * What a run's pod has instead of DNS, which would be a way out for it: the addresses of the few servers that it
 * speaks to, looked up here.
 */
export class HostTable {
  readonly #options: HostsOptions
  #known: { aliases: HostAlias[]; atMs: number } | undefined

  constructor(options: HostsOptions) {
    this.#options = options
  }

  async find(): Promise<Hosts> {
    if (this.#known && performance.now() - this.#known.atMs < believedMs) return { aliases: this.#known.aliases }
    const names = this.#options.urls.map((url) => new URL(url).hostname.replace(/^\[|\]$/g, ''))
    const byAddress = new Map<string, string[]>()
    for (const name of new Set(names)) {
      if (isIP(name)) continue
      const found = await this.#address(name)
      if ('missing' in found) return found
      byAddress.set(found.ip, [...(byAddress.get(found.ip) ?? []), name])
    }
    const aliases = [...byAddress].map(([ip, hostnames]) => ({ ip, hostnames }))
    this.#known = { aliases, atMs: performance.now() }
    return { aliases }
  }

  async #address(host: string): Promise<{ ip: string } | { missing: string }> {
    const { kube, systemNamespace, resolve = byDns } = this.#options
    const [, name, namespace] = host.match(/^([a-z0-9-]+)\.([a-z0-9-]+)\.svc(?:\.cluster\.local)?$/) ?? []
    if (name && namespace === systemNamespace) {
      const service = await kube.find<Service>(services, { name, namespace })
      const ip = service?.spec?.clusterIP
      if (ip && isIP(ip)) return { ip }
      return { missing: `Service ${namespace}/${name} ${service ? 'has no address' : 'does not exist'} yet` }
    }
    return await resolve(host).then(
      (ip) => ({ ip }),
      (error: unknown) => ({ missing: `the address of ${host} cannot be found: ${errorMessage(error)}` }),
    )
  }
}

async function byDns(host: string): Promise<string> {
  return (await lookup(host)).address
}
