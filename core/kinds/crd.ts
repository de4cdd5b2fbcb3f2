import type { z } from 'zod'
import { agentRunSpec, agentRunStatus } from './agent-run.ts'
import { clawInstanceSpec, clawInstanceStatus } from './claw-instance.ts'
import { clawPolicySpec, clawPolicyStatus } from './claw-policy.ts'
import { agentRuns, clawInstances, clawPolicies, type Resource, skillPacks } from './resources.ts'
import { skillPackSpec, skillPackStatus } from './skill-pack.ts'
import { type StructuralSchema, toStructural } from './structural.ts'

interface Column {
  name: string
  type: 'string' | 'integer' | 'date'
  jsonPath: string
  priority?: number
  description?: string
}

interface KindDefinition {
  resource: Resource
  shortNames: string[]
  description: string
  spec: z.ZodObject
  status: z.ZodObject
  columns: Column[]
}

const age: Column = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' }

const definitions: KindDefinition[] = [
  {
    resource: clawInstances,
    shortNames: ['ci', 'claw'],
    description:
      "One tenant's or user's gateway to agents: which agents there are, which models, skills and policy they have.",
    spec: clawInstanceSpec,
    status: clawInstanceStatus,
    columns: [
      { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
      { name: 'Active', type: 'integer', jsonPath: '.status.activeRuns' },
      { name: 'Model', type: 'string', jsonPath: '.spec.agents.default.model.name' },
      age,
    ],
  },
  {
    resource: agentRuns,
    shortNames: ['ar', 'run'],
    description: 'One task, done once by one agent in a pod of its own.',
    spec: agentRunSpec,
    status: agentRunStatus,
    columns: [
      { name: 'Instance', type: 'string', jsonPath: '.spec.instanceRef.name' },
      { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
      { name: 'Reason', type: 'string', jsonPath: '.status.reason' },
      { name: 'Pod', type: 'string', jsonPath: '.status.podName', priority: 1 },
      { name: 'Result', type: 'string', jsonPath: '.status.result', priority: 1 },
      age,
    ],
  },
  {
    resource: clawPolicies,
    shortNames: ['cp', 'pol'],
    description: 'What the runs of the instances it binds may do.',
    spec: clawPolicySpec,
    status: clawPolicyStatus,
    columns: [
      { name: 'Default', type: 'string', jsonPath: '.spec.toolGating.defaultAction' },
      { name: 'Bound', type: 'integer', jsonPath: '.status.boundInstances' },
      age,
    ],
  },
  {
    resource: skillPacks,
    shortNames: ['sp', 'skill'],
    description: 'Skills that agents read on demand.',
    spec: skillPackSpec,
    status: skillPackStatus,
    columns: [
      { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
      { name: 'Skills', type: 'integer', jsonPath: '.status.skillCount' },
      { name: 'ConfigMap', type: 'string', jsonPath: '.status.configMapName' },
      age,
    ],
  },
]

/** The CustomResourceDefinitions of the four kinds, as written to config/crd/bases, by file name. */
export function customResourceDefinitions(): Map<string, Record<string, unknown>> {
  return new Map(definitions.map((d) => [`${d.resource.group}_${d.resource.plural}.yaml`, definitionOf(d)]))
}

function definitionOf({
  resource,
  shortNames,
  description,
  spec,
  status,
  columns,
}: KindDefinition): Record<string, unknown> {
  const schema: StructuralSchema = {
    type: 'object',
    description,
    required: ['spec'],
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object', properties: { name: { type: 'string' } } },
      spec: toStructural(spec),
      status: toStructural(status),
    },
  }
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${resource.plural}.${resource.group}` },
    spec: {
      group: resource.group,
      scope: 'Namespaced',
      names: {
        kind: resource.kind,
        listKind: `${resource.kind}List`,
        plural: resource.plural,
        singular: resource.kind.toLowerCase(),
        shortNames,
        categories: ['k8sclaw'],
      },
      versions: [
        {
          name: resource.version,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: withNameRule(schema, resource) },
          subresources: { status: {} },
          additionalPrinterColumns: columns,
        },
      ],
    },
  }
}

/** An instance's name is a level of its bus subjects, so it may hold no dot. */
function withNameRule(schema: StructuralSchema, resource: Resource): StructuralSchema {
  if (resource.kind !== 'ClawInstance') return schema
  return {
    ...schema,
    'x-kubernetes-validations': [
      {
        rule: "self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')",
        message: 'the name of a ClawInstance must be a DNS label: at most 63 characters and no dot',
        fieldPath: '.metadata.name',
      },
    ],
  }
}
