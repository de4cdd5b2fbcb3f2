import * as z from 'zod'
import { ClawError } from '#core/errors'
import {
  apiVersion,
  clawInstanceSpec,
  clawInstanceStatus,
  clawInstances,
  clawPolicies,
  clawPolicySpec,
  clawPolicyStatus,
  type KubeObject,
  type Resource,
  skillPackSpec,
  skillPackStatus,
  skillPacks,
} from '#core/kinds'
import type { Kube } from '#core/kube'
import { type Api, type ApiContext, serve } from '../openapi/route.ts'
import { inNamespace, listQuery, objectOf, ofObject, pageOf, specOf } from '../openapi/schemas.ts'

export interface KindOptions {
  kube: Kube
}

interface Kind {
  path: string
  /** As names of operations hold it. */
  one: string
  many: string
  resource: Resource
  spec: z.ZodObject
  status: z.ZodObject
}

const kinds: Kind[] = [
  {
    path: 'instances',
    one: 'Instance',
    many: 'Instances',
    resource: clawInstances,
    spec: clawInstanceSpec,
    status: clawInstanceStatus,
  },
  {
    path: 'policies',
    one: 'Policy',
    many: 'Policies',
    resource: clawPolicies,
    spec: clawPolicySpec,
    status: clawPolicyStatus,
  },
  {
    path: 'skillpacks',
    one: 'SkillPack',
    many: 'SkillPacks',
    resource: skillPacks,
    spec: skillPackSpec,
    status: skillPackStatus,
  },
]

const texts = z.record(z.string().max(317), z.string().max(262_144)).refine((map) => Object.keys(map).length <= 64, {
  message: 'at most 64 of them',
})
/** What of an object's metadata is its writer's; names and owners are not for this API. */
const writable = z.strictObject({ labels: texts.optional(), annotations: texts.optional() })
const patchable = z.strictObject({
  labels: z.record(z.string().max(317), z.string().max(63).nullable()).optional(),
  annotations: z.record(z.string().max(317), z.string().max(262_144).nullable()).optional(),
  resourceVersion: z.string().max(64).optional(),
})

/** The kinds that people write, read and written with the caller's own token and no other right. */
export function serveObjects(api: Api, { kube }: KindOptions): void {
  for (const kind of kinds) serveKind(api, kube, kind)
}

function serveKind(api: Api, kube: Kube, { path, one, many, resource, ...schemas }: Kind): void {
  const spec = specOf(resource.kind, schemas.spec)
  const object = objectOf(resource.kind, spec, schemas.status)
  const collection = `/api/v1/namespaces/{ns}/${path}`
  const each = `${collection}/{name}`
  const tag = resource.kind
  const as = (c: ApiContext) => kube.withToken(c.get('token'), c.get('reading'))
  const typed = {
    apiVersion: z.literal(apiVersion).optional(),
    kind: z.literal(resource.kind).optional(),
  }

  serve(
    api,
    {
      ...{ method: 'get', path: collection, operationId: `list${many}`, tag, summary: `The ${resource.kind}s` },
      params: inNamespace,
      query: listQuery,
      answers: { 200: { description: 'A page of them', schema: pageOf(object) } },
    },
    async ({ params: { ns }, query: { labelSelector, ...page } }, c) => {
      const selection = { namespace: ns, labelSelector, signal: c.req.raw.signal }
      return c.json(await as(c).page(resource, selection, page))
    },
  )
  serve(
    api,
    {
      ...{ method: 'get', path: each, operationId: `get${one}`, tag, summary: `One ${resource.kind}` },
      params: ofObject,
      answers: { 200: { description: 'As Kubernetes has it', schema: object } },
    },
    async ({ params: { ns, name } }, c) => c.json(await as(c).get(resource, { namespace: ns, name })),
  )
  serve(
    api,
    {
      ...{ method: 'post', path: collection, operationId: `create${one}`, tag, summary: `Creates a ${resource.kind}` },
      params: inNamespace,
      body: z.strictObject({
        ...typed,
        metadata: writable.extend({ name: ofObject.shape.name }),
        spec,
      }),
      answers: { 201: { description: 'What was created', schema: object } },
    },
    async ({ params: { ns: namespace }, body }, c) => {
      const { metadata, spec } = body as { metadata: { name: string }; spec: object }
      const made = { apiVersion, kind: resource.kind, metadata: { ...metadata, namespace }, spec }
      return c.json(await as(c).create(resource, made), 201)
    },
  )
  serve(
    api,
    {
      ...{ method: 'put', path: each, operationId: `replace${one}`, tag, summary: `Replaces a ${resource.kind}` },
      params: ofObject,
      body: z.strictObject({
        ...typed,
        metadata: writable.extend({
          name: z.string().max(253).optional().describe('As in the path, where it is given.'),
          resourceVersion: z.string().min(1).max(64).describe('As it was read; `conflict` where it has changed since.'),
        }),
        spec,
      }),
      answers: { 200: { description: 'What it is now', schema: object } },
    },
    async ({ params: { ns: namespace, name }, body }, c) => {
      const { metadata, spec } = body as { metadata: KubeObject['metadata']; spec: object }
      if (metadata.name !== undefined && metadata.name !== name)
        throw new ClawError('invalid', 'metadata.name: is not the one of the path', { field: 'metadata.name' })
      const next = { apiVersion, kind: resource.kind, metadata: { ...metadata, namespace, name }, spec }
      return c.json(await as(c).update(resource, next))
    },
  )
  serve(
    api,
    {
      ...{ method: 'patch', path: each, operationId: `patch${one}`, tag, summary: `Changes a ${resource.kind}` },
      params: ofObject,
      body: z.strictObject({
        metadata: patchable.optional(),
        spec: z.record(z.string().max(64), z.unknown()).optional().describe('Null takes a field away.'),
      }),
      bodyTypes: ['application/merge-patch+json', 'application/json'],
      answers: { 200: { description: 'What it is now', schema: object } },
    },
    async ({ params: { ns: namespace, name }, body }, c) => {
      return c.json(await as(c).patch(resource, { namespace, name }, body))
    },
  )
  serve(
    api,
    {
      ...{ method: 'delete', path: each, operationId: `delete${one}`, tag, summary: `Deletes a ${resource.kind}` },
      params: ofObject,
      answers: { 204: { description: 'It is being deleted' } },
    },
    async ({ params: { ns: namespace, name } }, c) => {
      await as(c).delete(resource, { namespace, name })
      return c.body(null, 204)
    },
  )
}
