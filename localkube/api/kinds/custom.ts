import { isObject, type Json, listAt, objectAt, stringAt } from '../json.ts'
import { checkListKeys, checkRules, compileRules, compileSchema, type Schema, walkSchema } from '../schema/index.ts'
import { string } from '../schema/schema.ts'
import type { KubeObject } from '../types.ts'
import { age, name, sinceText } from './columns.ts'
import { parseJsonPath } from './jsonpath.ts'
import { type Column, defineKind, type Kind } from './kind.ts'
import { objectMeta } from './metadata.ts'

/** The kinds that a CustomResourceDefinition teaches, one for each served version. The definition is valid by now. */
export function kindsOf(crd: KubeObject): Kind[] {
  return listAt(crd, 'spec', 'versions')
    .filter((version) => objectAt(version).served === true)
    .map((version) => kindOf(crd, objectAt(version)))
}

function kindOf(crd: KubeObject, version: Json): Kind {
  const spec = objectAt(crd, 'spec')
  const names = objectAt(spec, 'names')
  const own = structuredClone(objectAt(version, 'schema', 'openAPIV3Schema')) as Schema
  const schema: Schema = {
    ...own,
    properties: { ...own.properties, apiVersion: string, kind: string, metadata: objectMeta },
  }
  return defineKind({
    group: stringAt(spec, 'group'),
    version: stringAt(version, 'name'),
    kind: stringAt(names, 'kind'),
    plural: stringAt(names, 'plural'),
    singular: stringAt(names, 'singular'),
    shortNames: listAt(names, 'shortNames').map(String),
    categories: listAt(names, 'categories').map(String),
    namespaced: spec.scope === 'Namespaced',
    schema,
    hasStatus: isObject(objectAt(version, 'subresources').status),
    hasGeneration: true,
    unconditionalUpdate: false,
    columns: columnsOf(version),
    behaviour: { fields: selectableFields(version) },
    custom: { validate: validatorOf(own) },
  })
}

function validatorOf(own: Schema): NonNullable<Kind['custom']>['validate'] {
  walkSchema(own, '', (inner) => compileRules(inner, ''))
  const { apiVersion: _, kind: __, metadata: ___, ...properties } = own.properties ?? {}
  const schema: Schema = { ...own, properties }
  const validate = compileSchema(schema)
  return (object, old) => {
    const errors = [...validate(object), ...checkListKeys(object, schema)]
    return errors.length > 0 ? errors : checkRules(object, old, own)
  }
}

function columnsOf(version: Json): Column[] {
  const own = listAt(version, 'additionalPrinterColumns').map((column) => {
    const find = parseJsonPath(stringAt(column, 'jsonPath')) ?? (() => [])
    const type = stringAt(column, 'type')
    return {
      name: stringAt(column, 'name'),
      type: type === 'date' || type === 'integer' || type === 'number' || type === 'boolean' ? type : 'string',
      description: stringAt(column, 'description'),
      priority: Number(objectAt(column).priority ?? 0),
      value: (object) => cell(find(object), type),
    } satisfies Column
  })
  return own.length > 0 ? [name, ...own] : [name, age]
}

function cell(found: unknown[], type: string): string | number | boolean | undefined {
  const [first] = found
  if (first === undefined || first === null) return undefined
  if (type === 'date') return sinceText(first)
  if (type === 'integer' || type === 'number') return typeof first === 'number' ? first : undefined
  if (type === 'boolean') return typeof first === 'boolean' ? first : undefined
  const text = found.map((value) => (typeof value === 'string' ? value : JSON.stringify(value)))
  return text.length === 1 ? text[0] : `[${text.join(',')}]`
}

function selectableFields(version: Json): (object: KubeObject) => Record<string, string> {
  const paths = listAt(version, 'selectableFields').map((field) => stringAt(field, 'jsonPath'))
  const finders = paths.map((path) => [path.replace(/^\./, ''), parseJsonPath(path)] as const)
  return (object) => Object.fromEntries(finders.map(([path, find]) => [path, String(find?.(object)[0] ?? '')]))
}
