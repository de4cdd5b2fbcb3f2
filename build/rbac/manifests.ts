/** The table of rights as the manifests under config/rbac: one file for each program, and one for people. */
import { Document, isMap, isSeq } from 'yaml'
import { type PeopleRole, people, programs, providerReader, type Row, type Scope, systemNamespace } from './table.ts'

const group = 'rbac.authorization.k8s.io'
const apiVersion = `${group}/v1`

/** File names under config/rbac, with their text. */
export function rbacManifests(): Map<string, string> {
  const files = Object.entries(programs).map(([name, rows]) => [`${name}.yaml`, text(ofProgram(name, rows))] as const)
  return new Map([...files, ['people.yaml', text(people.map(ofPeople))]])
}

function ofProgram(program: string, rows: readonly Row[]): Document[] {
  const name = `k8sclaw-${program}`
  const of = (scope: Scope) => rows.filter((row) => row.scope === scope)
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: systemNamespace } }
  const system = { name, namespace: systemNamespace }
  return [
    new Document(account),
    ...(of('cluster').length > 0
      ? [role('ClusterRole', { name }, of('cluster')), binding('ClusterRole', { name })]
      : []),
    ...(of('system').length > 0 ? [role('Role', system, of('system')), binding('Role', system)] : []),
    ...(of('tenant').length > 0 ? [role('ClusterRole', { name: providerReader }, of('tenant'))] : []),
  ]
}

function ofPeople({ name, into, rows }: PeopleRole): Document {
  const labels = { [`${group}/aggregate-to-${into}`]: 'true' }
  return role('ClusterRole', { name, labels }, rows)
}

type Rule = Omit<Row, 'scope'>

function role(kind: 'ClusterRole' | 'Role', metadata: object, rows: readonly Rule[]): Document {
  const rules = rows.map(({ group, resources, verbs, names }) => ({
    apiGroups: [group],
    resources,
    ...(names ? { resourceNames: names } : {}),
    verbs,
  }))
  const document = new Document({ apiVersion, kind, metadata, rules }, { aliasDuplicateObjects: false })
  rows.forEach(({ why }, i) => {
    const rule = document.getIn(['rules', i], true)
    if (!isMap(rule)) return
    rule.commentBefore = ` ${why}`
    for (const { value } of rule.items) if (isSeq(value)) value.flow = true
  })
  return document
}

function binding(kind: 'ClusterRole' | 'Role', metadata: { name: string }): Document {
  return new Document({
    apiVersion,
    kind: `${kind}Binding`,
    metadata,
    roleRef: { apiGroup: group, kind, name: metadata.name },
    subjects: [{ kind: 'ServiceAccount', name: metadata.name, namespace: systemNamespace }],
  })
}

function text(documents: readonly Document[]): string {
  const parts = documents.map((document) => document.toString({ lineWidth: 0, flowCollectionPadding: false }))
  return `# Generated from build/rbac/table.ts by \`make manifests\`; do not edit.\n${parts.join('---\n')}`
}
