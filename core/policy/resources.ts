import {
  type ClawPolicySpec,
  type DecidedResources,
  exceeds,
  type Quantity,
  type ResourceWishes,
  smallest,
} from '#core/kinds'

/** What a container gets that names nothing. No CPU limit: what nobody else wants may be used. */
export const defaultResources = {
  agent: { requests: { cpu: '50m', memory: '96Mi' }, limits: { memory: '2Gi' } },
  sandbox: { requests: { cpu: '50m', memory: '64Mi' }, limits: { memory: '2Gi' } },
} as const satisfies Record<string, DecidedResources>

/** The most of each that a container may have; absent is without end. */
export interface Caps {
  cpu?: Quantity | undefined
  memory?: Quantity | undefined
}

export function policyCaps(policy: ClawPolicySpec): Caps {
  return { cpu: policy.sandboxPolicy?.maxCPU, memory: policy.sandboxPolicy?.maxMemory }
}

/** The first of an agent's own wishes that is above the cap, as a path and a sentence. */
export function wishAbove(
  wishes: ResourceWishes | undefined,
  caps: Caps,
): { path: string; message: string } | undefined {
  for (const [kind, amounts] of [
    ['requests', wishes?.requests],
    ['limits', wishes?.limits],
  ] as const) {
    for (const name of ['cpu', 'memory'] as const) {
      const [wish, cap] = [amounts?.[name], caps[name]]
      if (wish !== undefined && cap !== undefined && exceeds(wish, cap))
        return { path: `resources.${kind}.${name}`, message: `${wish} is more than ${cap}` }
    }
  }
  return undefined
}

/**
 * What a container gets: its own wishes, else the defaults, cut to every cap. A limit that is left open is never below
 * the request, and a request never above the limit.
 */
export function decideResources(
  wishes: ResourceWishes | undefined,
  defaults: DecidedResources,
  caps: readonly Caps[],
): DecidedResources {
  const cpu = decide('cpu', wishes, defaults, caps)
  const memory = decide('memory', wishes, defaults, caps)
  return {
    requests: { cpu: cpu.request, memory: memory.request },
    limits: { ...(cpu.limit !== undefined && { cpu: cpu.limit }), memory: memory.limit ?? defaults.limits.memory },
  }
}

function decide(
  name: 'cpu' | 'memory',
  wishes: ResourceWishes | undefined,
  defaults: DecidedResources,
  caps: readonly Caps[],
): { request: string; limit: string | undefined } {
  const wished = { request: wishes?.requests?.[name], limit: wishes?.limits?.[name] }
  const open = defaults.limits[name]
  const roomy =
    open !== undefined && wished.request !== undefined && exceeds(wished.request, open) ? wished.request : open
  const ceilings = [wished.limit ?? roomy, ...caps.map((cap) => cap[name])].filter((one) => one !== undefined)
  const [first, ...others] = ceilings
  const limit = first === undefined ? undefined : smallest(first, ...others)
  const request = wished.request ?? defaults.requests[name]
  return { request: limit === undefined ? String(request) : smallest(request, limit), limit }
}
