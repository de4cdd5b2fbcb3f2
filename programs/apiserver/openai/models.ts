import { isClawError } from '#core/errors'
import { type ClawInstance, clawInstances } from '#core/kinds'
import type { Kube } from '#core/kube'
import { agentNamed, modelName, noSuchModel } from './request.ts'

interface Caller {
  /** The API server's own access; what is listed and read is so with the token. */
  kube: Kube
  token: string
}

/** An agent as an entry of `GET /v1/models`. */
export function modelOf({ metadata: { namespace = '', name, creationTimestamp } }: ClawInstance, agent: string) {
  const created = Math.floor(Date.parse(creationTimestamp ?? '') / 1000) || 0
  return { id: modelName(namespace, name, agent), object: 'model', created, owned_by: namespace }
}

/**
 * Every agent that the caller may list: of one namespace, else of all; a service account that may not list all is shown
 * those of its own namespace.
 */
export async function listModels(
  { kube, token, username }: Caller & { username: string },
  namespace: string | undefined,
) {
  const caller = kube.withToken(token)
  const list = (where: string) => caller.list<ClawInstance>(clawInstances, { namespace: where })
  const found = await list(namespace ?? '*').catch(async (error: unknown) => {
    if (namespace !== undefined || !isClawError(error, 'forbidden')) throw error
    const own = /^system:serviceaccount:([^:]+):/.exec(username)?.[1]
    if (own === undefined) throw error
    return await list(own)
  })
  const data = found.items.flatMap((instance) =>
    Object.keys(instance.spec.agents).map((agent) => modelOf(instance, agent)),
  )
  return { object: 'list', data }
}

/** The agent of that name, read with the caller's token. Throws `not_found` where instance or agent does not exist. */
export async function findModel({ kube, token }: Caller, model: string) {
  const { namespace, instance: name, agent } = agentNamed(model)
  const instance = await kube.withToken(token).find<ClawInstance>(clawInstances, { namespace, name })
  if (!instance) throw noSuchModel(model, `there is no ClawInstance ${name} in ${namespace}`)
  if (!Object.hasOwn(instance.spec.agents, agent)) throw noSuchModel(model, `${name} has no agent ${agent}`)
  return modelOf(instance, agent)
}
