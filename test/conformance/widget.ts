/** A small custom resource with most of what a schema can say. */
export const widgetDefinition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.example.io' },
  spec: {
    group: 'example.io',
    scope: 'Namespaced',
    names: {
      plural: 'widgets',
      singular: 'widget',
      kind: 'Widget',
      listKind: 'WidgetList',
      shortNames: ['wd'],
      categories: ['gadgets'],
    },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {} },
        selectableFields: [{ jsonPath: '.spec.color' }],
        additionalPrinterColumns: [
          { name: 'Size', type: 'integer', jsonPath: '.spec.size' },
          { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
          { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status', priority: 1 },
          { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
        ],
        schema: {
          openAPIV3Schema: {
            type: 'object',
            required: ['spec'],
            properties: {
              spec: {
                type: 'object',
                description: 'What is wanted.',
                required: ['size'],
                properties: {
                  size: { type: 'integer', minimum: 1, maximum: 10 },
                  color: {
                    type: 'string',
                    enum: ['red', 'blue'],
                    maxLength: 9,
                    default: 'red',
                    description: 'Its color.',
                  },
                  owner: { type: 'string', maxLength: 20 },
                  code: { type: 'string', pattern: '^[a-z]+$', minLength: 2, maxLength: 5 },
                  port: { 'x-kubernetes-int-or-string': true },
                  ratio: { type: 'number' },
                  when: { type: 'string', format: 'date-time' },
                  free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
                  tags: {
                    type: 'array',
                    maxItems: 2,
                    'x-kubernetes-list-type': 'set',
                    items: { type: 'string', maxLength: 9 },
                  },
                  labels: { type: 'object', maxProperties: 2, additionalProperties: { type: 'string', maxLength: 5 } },
                  parts: {
                    type: 'array',
                    maxItems: 3,
                    'x-kubernetes-list-type': 'map',
                    'x-kubernetes-list-map-keys': ['name'],
                    items: {
                      type: 'object',
                      required: ['name'],
                      properties: {
                        name: { type: 'string', maxLength: 9 },
                        weight: { type: 'integer', default: 1 },
                      },
                      'x-kubernetes-validations': [
                        { rule: 'self.weight >= oldSelf.weight', message: 'a part never gets lighter' },
                      ],
                    },
                  },
                },
                'x-kubernetes-validations': [
                  {
                    rule: '!has(oldSelf.owner) || (has(self.owner) && self.owner == oldSelf.owner)',
                    message: 'owner is immutable',
                  },
                  {
                    rule: "self.color != 'blue' || self.size > 2",
                    messageExpression: "'a ' + self.color + ' widget is larger than 2'",
                    reason: 'FieldValueForbidden',
                    fieldPath: '.size',
                  },
                  { rule: "!has(self.code) || self.code != 'none'" },
                ],
              },
              status: {
                type: 'object',
                properties: {
                  phase: { type: 'string' },
                  conditions: {
                    type: 'array',
                    items: { type: 'object', properties: { type: { type: 'string' }, status: { type: 'string' } } },
                  },
                },
              },
            },
          },
        },
      },
    ],
  },
}
