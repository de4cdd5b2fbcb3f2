import { listAt, objectAt, stringAt } from '../json.ts'
import { type FieldError, invalid, required, unsupported } from '../schema/index.ts'
import { bytes, integer, keyedList, list, object, string } from '../schema/schema.ts'
import type { KubeObject } from '../types.ts'
import { age, name } from './columns.ts'
import { defineKind, type Kind } from './kind.ts'
import { labelSelector, wholeObject } from './metadata.ts'
import { setDefaults } from './pod-defaults.ts'

const clientConfig = object({
  url: string,
  service: object({ namespace: string, name: string, path: string, port: integer }, ['namespace', 'name']),
  caBundle: bytes,
})

const webhook = {
  name: string,
  clientConfig,
  rules: list(
    object({
      operations: list(string),
      apiGroups: list(string),
      apiVersions: list(string),
      resources: list(string),
      scope: string,
    }),
  ),
  failurePolicy: string,
  matchPolicy: string,
  namespaceSelector: labelSelector,
  objectSelector: labelSelector,
  sideEffects: string,
  timeoutSeconds: integer,
  admissionReviewVersions: list(string),
}

const admission = { group: 'admissionregistration.k8s.io', version: 'v1', namespaced: false, hasGeneration: true }
const webhookColumns = [
  name,
  { name: 'Webhooks', type: 'integer' as const, value: (it: KubeObject) => listAt(it, 'webhooks').length },
  age,
]

export const validatingWebhookConfigurations: Kind = defineKind({
  ...admission,
  kind: 'ValidatingWebhookConfiguration',
  plural: 'validatingwebhookconfigurations',
  schema: wholeObject(
    { webhooks: keyedList('name', object(webhook, ['name', 'clientConfig'])) },
    'Who may refuse writes.',
  ),
  columns: webhookColumns,
  behaviour: { defaults: (it) => defaultWebhooks(it, {}), validate: validateWebhooks },
})

export const mutatingWebhookConfigurations: Kind = defineKind({
  ...admission,
  kind: 'MutatingWebhookConfiguration',
  plural: 'mutatingwebhookconfigurations',
  schema: wholeObject(
    { webhooks: keyedList('name', object({ ...webhook, reinvocationPolicy: string }, ['name', 'clientConfig'])) },
    'Who may change and refuse writes.',
  ),
  columns: webhookColumns,
  behaviour: { defaults: (it) => defaultWebhooks(it, { reinvocationPolicy: 'Never' }), validate: validateWebhooks },
})

function defaultWebhooks(it: Record<string, unknown>, more: Record<string, unknown>): void {
  for (const one of listAt(it, 'webhooks')) {
    const hook = objectAt(one)
    setDefaults(hook, {
      failurePolicy: 'Fail',
      matchPolicy: 'Equivalent',
      namespaceSelector: {},
      objectSelector: {},
      timeoutSeconds: 10,
      ...more,
    })
    const service = objectAt(hook, 'clientConfig').service
    if (service) setDefaults(objectAt(service), { port: 443 })
    for (const rule of listAt(hook, 'rules')) setDefaults(objectAt(rule), { scope: '*' })
  }
}

const harmless = ['None', 'NoneOnDryRun']

function validateUrl(url: unknown, at: string): FieldError[] {
  if (url === undefined) return []
  const scheme = URL.parse(String(url))?.protocol.slice(0, -1)
  if (scheme === undefined) return [invalid(at, url, 'url must be a valid URL')]
  return scheme === 'https' ? [] : [invalid(at, scheme, "'https' is the only allowed URL scheme")]
}

function validateWebhooks(it: KubeObject): FieldError[] {
  return listAt(it, 'webhooks').flatMap((hook, index) => {
    const at = `webhooks[${index}]`
    const config = objectAt(hook, 'clientConfig')
    const errors: FieldError[] = []
    if ((config.url === undefined) === (config.service === undefined)) {
      errors.push(required(`${at}.clientConfig`, 'exactly one of url or service is required'))
    }
    errors.push(...validateUrl(config.url, `${at}.clientConfig.url`))
    const sideEffects = stringAt(hook, 'sideEffects')
    if (sideEffects === '') {
      errors.push(required(`${at}.sideEffects`, 'must specify one of None, NoneOnDryRun'))
    } else if (!harmless.includes(sideEffects)) {
      errors.push(unsupported(`${at}.sideEffects`, sideEffects, harmless))
    }
    if (!listAt(hook, 'admissionReviewVersions').includes('v1')) {
      errors.push(required(`${at}.admissionReviewVersions`, 'must specify at least one of v1'))
    }
    return errors
  })
}
