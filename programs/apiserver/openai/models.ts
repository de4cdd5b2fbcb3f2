import { isClawError } from '#core/errors'
import { type ClawInstance, clawInstances } from '#core/kinds'
import type { Kube, Reading } from '#core/kube'
import { agentNamed, modelName, noSuchModel } from './request.ts'

interface Caller {
  /** The API server's own access; what is listed and read is so with the token. */
  kube: Kube
  token: string
  /** What bounds how much is read at once, for answers that are written as a whole. */
  reading?: Reading
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
  { kube, token, reading, username }: Caller & { username: string },
  namespace: string | undefined,
) {
  const caller = kube.withToken(token, reading)
  async function list(where: string) {
    const models: ReturnType<typeof modelOf>[] = []
    for await (const { items } of caller.pages<ClawInstance>(clawInstances, { namespace: where }))
      models.push(
        ...items.flatMap((instance) => Object.keys(instance.spec.agents).map((agent) => modelOf(instance, agent))),
      )
    return models
  }
  const data = await list(namespace ?? '*').catch(async (error: unknown) => {
    if (namespace !== undefined || !isClawError(error, 'forbidden')) throw error
    const own = /^system:serviceaccount:([^:]+):/.exec(username)?.[1]
    if (own === undefined) throw error
    return await list(own)
  })
  return { object: 'list', data }
}

/** The agent of that name, read with the caller's token. Throws `not_found` where instance or agent does not exist. */
export async function findModel({ kube, token, reading }: Caller, model: string) {
  const { namespace, instance: name, agent } = agentNamed(model)
  const instance = await kube.withToken(token, reading).find<ClawInstance>(clawInstances, { namespace, name })
  if (!instance) throw noSuchModel(model, `there is no ClawInstance ${name} in ${namespace}`)
  if (!Object.hasOwn(instance.spec.agents, agent)) throw noSuchModel(model, `${name} has no agent ${agent}`)
  return modelOf(instance, agent)
}
