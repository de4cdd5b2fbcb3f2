import { isObject, type Json, listAt, objectAt, stringAt } from '../json.ts'
import {
  applyDefaults,
  checkPatterns,
  compileRules,
  compileSchema,
  type FieldError,
  forbidden,
  invalid,
  required,
  type Schema,
  walkSchema,
} from '../schema/index.ts'
import { any, anyObject, boolean, integer, list, object, string, time } from '../schema/schema.ts'
import type { KubeObject } from '../types.ts'
import { createdAt, name } from './columns.ts'
import { parseJsonPath } from './jsonpath.ts'
import { defineKind, type Kind } from './kind.ts'
import { conditions, wholeObject } from './metadata.ts'
import { isLabel, isSubdomain } from './names.ts'
import { setDefaults } from './pod-defaults.ts'

/** Keeps a deleted CustomResourceDefinition until its objects are gone. */
export const cleanupFinalizer = 'customresourcecleanup.apiextensions.k8s.io'

const names = object(
  {
    plural: string,
    singular: string,
    kind: string,
    listKind: string,
    shortNames: list(string),
    categories: list(string),
  },
  ['plural', 'kind'],
)

const version = object(
  {
    name: string,
    served: boolean,
    storage: boolean,
    deprecated: boolean,
    deprecationWarning: string,
    schema: object({ openAPIV3Schema: anyObject }),
    subresources: object({ status: anyObject, scale: anyObject }),
    additionalPrinterColumns: list(
      object({ name: string, type: string, format: string, description: string, priority: integer, jsonPath: string }, [
        'name',
        'type',
        'jsonPath',
      ]),
    ),
    selectableFields: list(object({ jsonPath: string }, ['jsonPath'])),
  },
  ['name', 'served', 'storage'],
)

export const customResourceDefinitions: Kind = defineKind({
  group: 'apiextensions.k8s.io',
  version: 'v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  shortNames: ['crd', 'crds'],
  namespaced: false,
  hasStatus: true,
  hasGeneration: true,
  schema: wholeObject(
    {
      spec: object(
        {
          group: string,
          scope: string,
          names,
          versions: list(version),
          conversion: any,
          preserveUnknownFields: boolean,
        },
        ['group', 'names', 'scope', 'versions'],
      ),
      status: object({
        conditions,
        acceptedNames: names,
        storedVersions: list(string),
        observedGeneration: { type: 'integer' },
        lastUpdate: time,
      }),
    },
    'Teaches the server a new kind.',
    ['spec'],
  ),
  columns: [name, createdAt],
  behaviour: {
    defaults(it) {
      const spec = objectAt(it, 'spec')
      const own = objectAt(spec, 'names')
      const kind = stringAt(own, 'kind')
      setDefaults(spec, { conversion: { strategy: 'None' } })
      setDefaults(own, { singular: kind.toLowerCase(), listKind: `${kind}List` })
    },
    onCreate(it) {
      const metadata = objectAt(it, 'metadata')
      addCleanup(metadata)
      const condition = (type: string, reason: string, message: string): unknown => ({
        type,
        status: 'True',
        reason,
        message,
        lastTransitionTime: metadata.creationTimestamp,
      })
      it.status = {
        conditions: [
          condition('NamesAccepted', 'NoConflicts', 'no conflicts found'),
          condition('Established', 'InitialNamesAccepted', 'the initial names have been accepted'),
        ],
        acceptedNames: objectAt(it, 'spec').names,
        storedVersions: listAt(it, 'spec', 'versions')
          .filter((one) => objectAt(one).storage === true)
          .map((one) => stringAt(one, 'name')),
      }
    },
    onUpdate(it, old) {
      if (!old.metadata.deletionTimestamp) addCleanup(objectAt(it, 'metadata'))
    },
    validate,
  },
})

/** So that a PUT by somebody who has not seen the finalizer does not leave objects without a kind behind. */
function addCleanup(metadata: Json): void {
  const others = listAt(metadata, 'finalizers').filter((finalizer) => finalizer !== cleanupFinalizer)
  metadata.finalizers = [...others, cleanupFinalizer]
}

function validate(crd: KubeObject, old: KubeObject | undefined): FieldError[] {
  const errors: FieldError[] = []
  const spec = objectAt(crd, 'spec')
  const group = stringAt(spec, 'group')
  const plural = stringAt(spec, 'names', 'plural')
  if (crd.metadata.name !== `${plural}.${group}`) {
    errors.push(invalid('metadata.name', crd.metadata.name, 'must be spec.names.plural+"."+spec.group'))
  }
  if (!isSubdomain(group) || !group.includes('.')) {
    errors.push(invalid('spec.group', group, 'should be a domain with at least one dot'))
  }
  for (const word of ['plural', 'singular']) {
    const value = stringAt(spec, 'names', word)
    if (!isLabel(value)) errors.push(invalid(`spec.names.${word}`, value, 'must be a DNS label'))
  }
  if (!['Namespaced', 'Cluster'].includes(stringAt(spec, 'scope'))) {
    errors.push(invalid('spec.scope', spec.scope, 'must be Namespaced or Cluster'))
  }
  if (stringAt(spec, 'conversion', 'strategy') !== 'None') {
    errors.push(forbidden('spec.conversion.strategy', 'this server converts by changing apiVersion only (None)'))
  }
  const versions = listAt(spec, 'versions')
  if (versions.filter((one) => objectAt(one).storage === true).length !== 1) {
    errors.push(invalid('spec.versions', '', 'must have exactly one version marked as storage version'))
  }
  versions.forEach((one, index) => {
    const at = `spec.versions[${index}]`
    // A schema that all versions share is reported as the one that it once was.
    const schemaAt = versions.length === 1 ? 'spec.validation' : `${at}.schema`
    errors.push(...validateVersion(one, at, `${schemaAt}.openAPIV3Schema`))
  })
  if (old) {
    for (const word of ['group', 'scope']) {
      if (spec[word] !== objectAt(old, 'spec')[word]) {
        errors.push(invalid(`spec.${word}`, spec[word], 'field is immutable'))
      }
    }
  }
  return errors
}

function validateVersion(one: unknown, at: string, schemaPath: string): FieldError[] {
  const errors: FieldError[] = []
  const schema = objectAt(one, 'schema').openAPIV3Schema
  if (!isObject(schema)) return [required(schemaPath, 'schemas are required')]
  if (objectAt(one, 'subresources').scale) {
    errors.push(forbidden(`${at}.subresources.scale`, 'this server does not serve the scale subresource'))
  }
  if (schema.type !== 'object') errors.push(invalid(`${schemaPath}.type`, schema.type, 'must be object at the root'))
  walkSchema(schema as Schema, schemaPath, (inner, path) => {
    if (inner.$ref !== undefined) errors.push(forbidden(`${path}.$ref`, 'must not be used in a structural schema'))
    if (!inner.type && !inner['x-kubernetes-int-or-string'] && !inner['x-kubernetes-preserve-unknown-fields']) {
      if (!isPartOfJunctor(path)) errors.push(required(`${path}.type`, 'must not be empty for specified object fields'))
    }
    errors.push(...compileRules(inner, path))
  })
  errors.push(...checkPatterns(schema as Schema, schemaPath))
  if (errors.length === 0) errors.push(...checkDefaults(schema as Schema, schemaPath))
  listAt(one, 'additionalPrinterColumns').forEach((column, index) => {
    const path = stringAt(column, 'jsonPath')
    if (!parseJsonPath(path)) {
      errors.push(invalid(`${at}.additionalPrinterColumns[${index}].jsonPath`, path, 'is not a JSONPath known here'))
    }
  })
  return errors
}

/** Below allOf and its kin a schema only adds conditions to one that has a type. */
function isPartOfJunctor(path: string): boolean {
  return /\.(allOf|anyOf|oneOf)\[|\.not$|\.not\./.test(path)
}

/** A default that its own schema refuses would make objects that nobody can write again. */
function checkDefaults(schema: Schema, schemaPath: string): FieldError[] {
  const errors: FieldError[] = []
  walkSchema(schema, schemaPath, (inner, path) => {
    if (inner.default === undefined) return
    const value: unknown = structuredClone(inner.default)
    applyDefaults(value, inner)
    for (const { detail, field, reason } of compileSchema(inner)(value)) {
      const at = `${path}.default${field && !field.startsWith('[') ? '.' : ''}${field}`
      errors.push({ reason, field: at, detail })
    }
  })
  return errors
}
