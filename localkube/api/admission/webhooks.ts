import { randomUUID } from 'node:crypto'
import { userInfo } from '../access/reviews.ts'
import { ApiError } from '../api-error.ts'
import { equal, type Json, listAt, objectAt, stringAt } from '../json.ts'
import type { Admission, AdmissionRequest } from '../objects/context.ts'
import { inVersion } from '../objects/objects.ts'
import { jsonPatch } from '../patch/index.ts'
import type { Store } from '../store/index.ts'
import type { KubeObject, Log, NodeHooks } from '../types.ts'
import { addressOf, WebhookClient } from './call.ts'
import { type Hook, matchingHooks } from './match.ts'

/** Calls the webhooks of the admissionregistration configurations in the store. */
export class Webhooks implements Admission {
  readonly #store: Store
  readonly #hooks: () => NodeHooks | undefined
  readonly #log: Log
  readonly #client = new WebhookClient()

  constructor(store: Store, hooks: () => NodeHooks | undefined, log: Log) {
    this.#store = store
    this.#hooks = hooks
    this.#log = log
  }

  /** One after the other, each seeing what the one before made of the object. */
  async mutate(request: AdmissionRequest): Promise<unknown> {
    const hooks = matchingHooks(this.#store, 'mutating', request)
    let object: unknown = request.object
    let asked: { hook: Hook; saw: unknown }[] = []
    const ask = async (hook: Hook): Promise<void> => {
      object = await this.#mutateOnce(hook, { ...request, object: object as KubeObject })
    }
    for (const hook of hooks) {
      await ask(hook)
      asked = [...asked, { hook, saw: object }]
    }
    for (const { hook, saw } of asked) {
      // Once more, for those who asked for it, where a later one changed the object.
      if (stringAt(hook.spec, 'reinvocationPolicy') === 'IfNeeded' && !equal(saw, object)) await ask(hook)
    }
    return object === request.object ? undefined : object
  }

  async validate(request: AdmissionRequest): Promise<void> {
    const hooks = matchingHooks(this.#store, 'validating', request)
    await Promise.all(hooks.map((hook) => this.#ask(hook, request)))
  }

  close(): void {
    this.#client.close()
  }

  async #mutateOnce(hook: Hook, request: AdmissionRequest): Promise<unknown> {
    const response = await this.#ask(hook, request)
    const patch = stringAt(response, 'patch')
    if (patch === '') return request.object
    try {
      if (response.patchType !== 'JSONPatch')
        throw new Error(`patchType ${String(response.patchType)} is not JSONPatch`)
      return jsonPatch(request.object, JSON.parse(Buffer.from(patch, 'base64').toString()))
    } catch (error) {
      throw failed(hook, error)
    }
  }

  /** The allowing response; throws the refusal. A webhook that cannot be asked counts as its failurePolicy says. */
  async #ask(hook: Hook, request: AdmissionRequest): Promise<Json> {
    const seconds = Number(hook.spec.timeoutSeconds ?? 10)
    let response: Json
    try {
      const address = addressOf(objectAt(hook.spec, 'clientConfig'), seconds, this.#hooks())
      response = await this.#client.call(address, reviewOf(request), seconds * 1000)
    } catch (error) {
      if (stringAt(hook.spec, 'failurePolicy') !== 'Ignore') throw failed(hook, error)
      this.#log('warn', 'admission webhook failed and is ignored', { webhook: hook.name, error: String(error) })
      return {}
    }
    request.context.warnings.push(...listAt(response, 'warnings').map(String))
    if (response.allowed !== true) throw refusal(hook, objectAt(response, 'status'))
    return response
  }
}

/** A patch is an update by the time a webhook hears of it. */
const optionsKinds = { CREATE: 'CreateOptions', UPDATE: 'UpdateOptions', DELETE: 'DeleteOptions' }

function reviewOf(request: AdmissionRequest): Json {
  const { kind, operation, namespace, name, subresource, object, oldObject, context } = request
  const groupVersionKind = { group: kind.group, version: kind.version, kind: kind.kind }
  const groupVersionResource = { group: kind.group, version: kind.version, resource: kind.plural }
  return {
    kind: 'AdmissionReview',
    apiVersion: 'admission.k8s.io/v1',
    request: {
      uid: randomUUID(),
      kind: groupVersionKind,
      resource: groupVersionResource,
      ...(subresource ? { subResource: subresource } : {}),
      requestKind: groupVersionKind,
      requestResource: groupVersionResource,
      name,
      ...(namespace ? { namespace } : {}),
      operation,
      userInfo: userInfo(context.user),
      object: object ? inVersion(kind, object) : null,
      oldObject: oldObject ? inVersion(kind, oldObject) : null,
      dryRun: context.dryRun,
      options: {
        kind: optionsKinds[operation],
        apiVersion: 'meta.k8s.io/v1',
        ...(context.dryRun ? { dryRun: ['All'] } : {}),
      },
    },
  }
}

function refusal(hook: Hook, status: Json): ApiError {
  const why = stringAt(status, 'message') || stringAt(status, 'reason')
  const code = typeof status.code === 'number' && status.code >= 400 && status.code < 600 ? status.code : 400
  const reason = stringAt(status, 'reason') || (code === 403 ? 'Forbidden' : code === 422 ? 'Invalid' : 'BadRequest')
  const details = objectAt(status, 'details')
  const message = `admission webhook "${hook.name}" denied the request${why ? `: ${why}` : ' without explanation'}`
  return new ApiError(code, reason, message, Object.keys(details).length > 0 ? details : undefined)
}

function failed(hook: Hook, cause: unknown): ApiError {
  const why = cause instanceof Error ? cause.message : String(cause)
  const message = `Internal error occurred: failed calling webhook "${hook.name}": failed to call webhook: ${why}`
  return new ApiError(500, 'InternalError', message, undefined, { cause })
}
