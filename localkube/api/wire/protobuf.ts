import { ApiError, badRequest } from '../api-error.ts'
import type { Json } from '../json.ts'

/**
 * kubectl's typed commands (`create secret`, `create configmap`, `auth can-i` ...) send protobuf whatever the server
 * would like. These few messages are decoded, by the field numbers of the public API; everything else is a 415.
 */

type Field =
  | { name: string; type: 'string' | 'bytes' | 'bool' | 'int'; repeated?: boolean }
  | { name: string; type: Message; repeated?: boolean }
  | { name: string; type: 'map'; value: 'string' | 'bytes' }
  | { name: string; type: 'time' }

type Message = Record<number, Field>

const text = (name: string): Field => ({ name, type: 'string' })
const texts = (name: string): Field => ({ name, type: 'string', repeated: true })
const flag = (name: string): Field => ({ name, type: 'bool' })
const whole = (name: string): Field => ({ name, type: 'int' })
const inner = (name: string, type: Message): Field => ({ name, type })
const inners = (name: string, type: Message): Field => ({ name, type, repeated: true })
const pairs = (name: string, value: 'string' | 'bytes'): Field => ({ name, type: 'map', value })

const ownerReference: Message = {
  1: text('kind'),
  3: text('name'),
  4: text('uid'),
  5: text('apiVersion'),
  6: flag('controller'),
  7: flag('blockOwnerDeletion'),
}

const metadata = inner('metadata', {
  1: text('name'),
  2: text('generateName'),
  3: text('namespace'),
  5: text('uid'),
  6: text('resourceVersion'),
  8: { name: 'creationTimestamp', type: 'time' },
  11: pairs('labels', 'string'),
  12: pairs('annotations', 'string'),
  13: inners('ownerReferences', ownerReference),
  14: texts('finalizers'),
})

const objectReference: Message = {
  1: text('kind'),
  2: text('namespace'),
  3: text('name'),
  4: text('uid'),
  5: text('apiVersion'),
}

const resourceAttributes: Message = {
  1: text('namespace'),
  2: text('verb'),
  3: text('group'),
  4: text('version'),
  5: text('resource'),
  6: text('subresource'),
  7: text('name'),
}

const policyRule: Message = {
  1: texts('verbs'),
  2: texts('apiGroups'),
  3: texts('resources'),
  4: texts('resourceNames'),
  5: texts('nonResourceURLs'),
}
const role: Message = { 1: metadata, 2: inners('rules', policyRule) }
const roleBinding: Message = {
  1: metadata,
  2: inners('subjects', { 1: text('kind'), 2: text('apiGroup'), 3: text('name'), 4: text('namespace') }),
  3: inner('roleRef', { 1: text('apiGroup'), 2: text('kind'), 3: text('name') }),
}

const messages: Record<string, Message> = {
  'rbac.authorization.k8s.io/v1 Role': role,
  'rbac.authorization.k8s.io/v1 ClusterRole': role,
  'rbac.authorization.k8s.io/v1 RoleBinding': roleBinding,
  'rbac.authorization.k8s.io/v1 ClusterRoleBinding': roleBinding,
  'v1 Secret': {
    1: metadata,
    2: pairs('data', 'bytes'),
    3: text('type'),
    4: pairs('stringData', 'string'),
    5: flag('immutable'),
  },
  'v1 ConfigMap': { 1: metadata, 2: pairs('data', 'string'), 3: pairs('binaryData', 'bytes'), 4: flag('immutable') },
  'v1 Namespace': { 1: metadata },
  'v1 ServiceAccount': {
    1: metadata,
    2: inners('secrets', objectReference),
    3: inners('imagePullSecrets', { 1: text('name') }),
    4: flag('automountServiceAccountToken'),
  },
  'authorization.k8s.io/v1 SelfSubjectAccessReview': {
    1: metadata,
    2: inner('spec', {
      1: inner('resourceAttributes', resourceAttributes),
      2: inner('nonResourceAttributes', { 1: text('path'), 2: text('verb') }),
    }),
  },
  'authorization.k8s.io/v1 SelfSubjectRulesReview': { 1: metadata, 2: inner('spec', { 1: text('namespace') }) },
  'authentication.k8s.io/v1 SelfSubjectReview': { 1: metadata },
  'authentication.k8s.io/v1 TokenRequest': {
    1: metadata,
    2: inner('spec', {
      1: texts('audiences'),
      3: inner('boundObjectRef', { 1: text('kind'), 2: text('apiVersion'), 3: text('name'), 4: text('uid') }),
      4: whole('expirationSeconds'),
    }),
  },
  DeleteOptions: {
    1: whole('gracePeriodSeconds'),
    2: inner('preconditions', { 1: text('uid'), 2: text('resourceVersion') }),
    3: flag('orphanDependents'),
    4: text('propagationPolicy'),
    5: texts('dryRun'),
  },
}

const magic = Buffer.from('k8s\0')
const unknownMessage: Message = {
  1: inner('typeMeta', { 1: text('apiVersion'), 2: text('kind') }),
  2: { name: 'raw', type: 'bytes' },
}

/** Decodes an object in Kubernetes' protobuf envelope. */
export function decodeProtobuf(body: Buffer): Json {
  if (!body.subarray(0, magic.length).equals(magic)) {
    throw badRequest('the body is not a Kubernetes protobuf object: it does not start with k8s\\0')
  }
  try {
    const envelope = readMessage(body.subarray(magic.length), unknownMessage)
    const { apiVersion, kind } = (envelope.typeMeta ?? {}) as { apiVersion?: string; kind?: string }
    const message = kind === 'DeleteOptions' ? messages.DeleteOptions : messages[`${apiVersion} ${kind}`]
    if (!message) throw notDecoded(`${apiVersion ?? ''} ${kind ?? ''}`.trim())
    const object = readMessage(Buffer.from(String(envelope.raw ?? ''), 'base64'), message)
    return { apiVersion, kind, ...object }
  } catch (error) {
    if (error instanceof ApiError) throw error
    throw badRequest(`the protobuf body is damaged: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  }
}

function notDecoded(what: string): ApiError {
  const sentence = `this server does not read ${what || 'this kind'} as protobuf; send JSON: write a manifest and use \`kubectl apply -f\`, or add \`--dry-run=client -o yaml | kubectl apply -f -\` to the command`
  return new ApiError(415, 'UnsupportedMediaType', sentence)
}

function readMessage(bytes: Buffer, message: Message): Json {
  const result: Json = {}
  for (const { number, value } of fieldsOf(bytes)) {
    const field = message[number]
    if (field) addField(result, field, value)
  }
  return result
}

function addField(result: Json, field: Field, value: Buffer | bigint): void {
  if (field.type === 'map') {
    const entry = readMessage(bufferOf(value), { 1: text('key'), 2: { name: 'value', type: field.value } })
    const before = (result[field.name] ?? {}) as Json
    result[field.name] = { ...before, [String(entry.key ?? '')]: entry.value ?? '' }
    return
  }
  const read = readValue(field, value)
  if (read === undefined) return
  if ('repeated' in field && field.repeated) {
    const before = result[field.name]
    result[field.name] = [...(Array.isArray(before) ? before : []), read]
  } else result[field.name] = read
}

function readValue(field: Exclude<Field, { type: 'map' }>, value: Buffer | bigint): unknown {
  switch (field.type) {
    case 'string':
      // Go's encoder writes empty strings too, which JSON would leave out; in a list they mean something.
      return bufferOf(value).toString('utf8') || (field.repeated ? '' : undefined)
    case 'bytes':
      return bufferOf(value).toString('base64')
    case 'bool':
      return value === 1n
    case 'int':
      return Number(BigInt.asIntN(64, typeof value === 'bigint' ? value : 0n))
    case 'time':
      return undefined // Times that the server sets anyway.
    default:
      return readMessage(bufferOf(value), field.type)
  }
}

function bufferOf(value: Buffer | bigint): Buffer {
  if (typeof value === 'bigint') throw new Error('a number where a string or message belongs')
  return value
}

/** The wire format: a varint tag, then a varint, eight bytes, a length with its bytes, or four bytes. */
function* fieldsOf(bytes: Buffer): Generator<{ number: number; value: Buffer | bigint }> {
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++]
      if (byte === undefined) break
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    throw new Error('a number does not end')
  }
  const take = (length: number): Buffer => {
    if (length > bytes.length - at) throw new Error('a field is longer than the message')
    at += length
    return bytes.subarray(at - length, at)
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    const wire = tag & 7
    if (wire === 0) yield { number: tag >>> 3, value: varint() }
    else if (wire === 1) yield { number: tag >>> 3, value: take(8) }
    else if (wire === 2) yield { number: tag >>> 3, value: take(Number(varint())) }
    else if (wire === 5) yield { number: tag >>> 3, value: take(4) }
    else throw new Error(`wire type ${wire} is not known`)
  }
}
