import { equal, type Json, objectAt, stringAt } from '../json.ts'
import { type FieldError, forbidden, invalid, tooLong } from '../schema/index.ts'
import { boolean, bytes, described, map, string } from '../schema/schema.ts'
import type { KubeObject } from '../types.ts'
import { age, name } from './columns.ts'
import { defineKind, type Kind } from './kind.ts'
import { wholeObject } from './metadata.ts'
import { setDefaults } from './pod-defaults.ts'

const core = { group: '', version: 'v1' }

/** What Secrets and ConfigMaps may hold together, as etcd would. */
const maxData = 1024 * 1024

export const secrets: Kind = defineKind({
  ...core,
  kind: 'Secret',
  plural: 'secrets',
  schema: wholeObject(
    {
      data: map(bytes),
      stringData: described(map(string), 'Written only: plain text that ends up in data.'),
      type: string,
      immutable: boolean,
    },
    'Small confidential values: keys, tokens, certificates.',
  ),
  columns: [
    name,
    { name: 'Type', type: 'string', value: (it) => stringAt(it, 'type') },
    { name: 'Data', type: 'integer', value: (it) => Object.keys(objectAt(it, 'data')).length },
    age,
  ],
  behaviour: {
    defaults(it) {
      const plain = Object.entries(objectAt(it, 'stringData'))
      if (plain.length > 0) {
        const encoded = plain.map(([key, value]) => [key, Buffer.from(String(value)).toString('base64')])
        it.data = { ...objectAt(it, 'data'), ...Object.fromEntries(encoded) }
      }
      delete it.stringData
      setDefaults(it, { type: 'Opaque' })
    },
    validate(it, old) {
      const errors = validateData(objectAt(it, 'data'), 'data', (value) => Buffer.byteLength(value, 'base64'))
      for (const [key, value] of Object.entries(objectAt(it, 'data'))) {
        if (!isBase64(value)) errors.push(invalid(`data[${key}]`, '', 'must be base64'))
      }
      if (old && it.type !== old.type) errors.push(invalid('type', it.type, 'field is immutable'))
      return [...errors, ...validateImmutable(it, old, ['data'])]
    },
    fields: (it) => ({ type: stringAt(it, 'type') }),
  },
})

export const configMaps: Kind = defineKind({
  ...core,
  kind: 'ConfigMap',
  plural: 'configmaps',
  shortNames: ['cm'],
  schema: wholeObject(
    { data: map(string), binaryData: map(bytes), immutable: boolean },
    'Settings and files for pods.',
  ),
  columns: [
    name,
    {
      name: 'Data',
      type: 'integer',
      value: (it) => Object.keys(objectAt(it, 'data')).length + Object.keys(objectAt(it, 'binaryData')).length,
    },
    age,
  ],
  behaviour: {
    validate: (it, old) => [
      ...validateData(objectAt(it, 'data'), 'data', (value) => Buffer.byteLength(value)),
      ...validateData(objectAt(it, 'binaryData'), 'binaryData', (value) => Buffer.byteLength(value, 'base64')),
      ...validateImmutable(it, old, ['data', 'binaryData']),
    ],
  },
})

function validateData(data: Json, field: string, sizeOf: (value: string) => number): FieldError[] {
  const errors: FieldError[] = []
  let size = 0
  for (const [key, value] of Object.entries(data)) {
    if (!/^[-._a-zA-Z0-9]{1,253}$/.test(key) || key === '.' || key.startsWith('..')) {
      errors.push(
        invalid(
          `${field}[${key}]`,
          key,
          "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
        ),
      )
    }
    size += typeof value === 'string' ? sizeOf(value) : 0
  }
  if (size > maxData) errors.push(tooLong(field, maxData))
  return errors
}

function isBase64(value: unknown): boolean {
  return typeof value === 'string' && /^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(value)
}

function validateImmutable(it: KubeObject, old: KubeObject | undefined, fields: string[]): FieldError[] {
  if (old?.immutable !== true) return []
  const sentence = 'field is immutable when `immutable` is set'
  return [
    ...(it.immutable === true ? [] : [forbidden('immutable', sentence)]),
    ...fields.filter((field) => !equal(it[field], old[field])).map((field) => forbidden(field, sentence)),
  ]
}
