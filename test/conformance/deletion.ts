import { beforeAll, describe, expect, test } from 'vitest'
import type { Cluster } from './cluster.ts'
import type { Capabilities } from './index.ts'

const maps = '/api/v1/namespaces/deletion/configmaps'
const patience = { timeout: 60_000, interval: 100 }

/** Finalizers, preconditions, dependents and namespaces. */
export function deletion(cluster: Cluster, { hasControllers }: Capabilities): void {
  describe('deleting', () => {
    const statusOf = async (path: string) => (await cluster.get(path)).status
    const goes = (path: string) => expect.poll(() => statusOf(path), patience).toBe(404)

    beforeAll(() => cluster.makeNamespace('deletion'))

    test('answers Success with what was deleted', async () => {
      const made = await cluster.make(maps, { metadata: { name: 'plain' } })
      const { status, json } = await cluster.delete(`${maps}/plain`)
      expect([status, json]).toEqual([
        200,
        {
          kind: 'Status',
          apiVersion: 'v1',
          metadata: {},
          status: 'Success',
          details: { name: 'plain', kind: 'configmaps', uid: made.metadata.uid },
        },
      ])
    })

    test('finalizers hold an object until the last of them is gone', async () => {
      const path = `${maps}/held`
      const finalizers = ['example.io/keep']
      await cluster.make(maps, { metadata: { name: 'held', finalizers } })
      const marked = await cluster.delete(path)
      expect([marked.status, marked.json.kind]).toEqual([200, 'ConfigMap'])
      expect(marked.json.metadata).toMatchObject({
        deletionTimestamp: expect.any(String),
        deletionGracePeriodSeconds: 0,
      })
      const again = await cluster.delete(path)
      expect(again.json.metadata.deletionTimestamp).toBe(marked.json.metadata.deletionTimestamp)
      const added = await cluster.patch(path, 'merge', { metadata: { finalizers: [...finalizers, 'example.io/new'] } })
      expect(added.json).toMatchObject({ code: 422, reason: 'Invalid' })
      expect(added.json.message).toContain(
        'metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"example.io/new"}',
      )
      expect((await cluster.patch(path, 'merge', { metadata: { finalizers: null } })).status).toBe(200)
      expect(await statusOf(path)).toBe(404)
    })

    test('finalizers without a prefix are refused where the kind is built in', async () => {
      const { json } = await cluster.post(maps, { metadata: { name: 'bare', finalizers: ['keep'] } })
      expect(json).toMatchObject({ code: 422 })
      expect(json.message).toContain(
        'metadata.finalizers[0]: Invalid value: "keep": name is neither a standard finalizer name nor is it fully qualified',
      )
    })

    test('preconditions protect a namesake', async () => {
      const { metadata } = await cluster.make(maps, { metadata: { name: 'guarded' } })
      const wrong = await cluster.delete(`${maps}/guarded`, { preconditions: { uid: 'another' } })
      expect(wrong.json).toMatchObject({
        code: 409,
        reason: 'Conflict',
        message: `Operation cannot be fulfilled on ConfigMap "guarded": the UID in the precondition (another) does not match the UID in record (${metadata.uid}). The object might have been deleted and then recreated`,
      })
      const { uid } = metadata
      expect((await cluster.delete(`${maps}/guarded`, { preconditions: { uid } })).status).toBe(200)
    })

    test('a collection goes by its selector', async () => {
      for (const name of ['c1', 'c2']) await cluster.make(maps, { metadata: { name, labels: { collected: 'yes' } } })
      await cluster.make(maps, { metadata: { name: 'c3' } })
      expect((await cluster.delete(`${maps}?labelSelector=collected`)).status).toBe(200)
      expect(await Promise.all(['c1', 'c2', 'c3'].map((name) => statusOf(`${maps}/${name}`)))).toEqual([404, 404, 200])
    })

    test('an owner reference must be whole', async () => {
      const ownerReferences = [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'x' }]
      const { json } = await cluster.post(maps, { metadata: { name: 'child', ownerReferences } })
      expect(json.message).toBe(
        'ConfigMap "child" is invalid: metadata.ownerReferences.uid: Invalid value: "": must not be empty',
      )
      const two = ['a', 'b'].map((uid) => ({ apiVersion: 'v1', kind: 'ConfigMap', name: uid, uid, controller: true }))
      const both = await cluster.post(maps, { metadata: { name: 'child', ownerReferences: two } })
      expect(both.json.message).toContain('Only one reference can have Controller set to true')
    })

    describe.skipIf(!hasControllers)('with controllers', () => {
      const owned = async (name: string, more: object = {}): Promise<void> => {
        const { metadata } = await cluster.make(maps, { metadata: { name } })
        const reference = { apiVersion: 'v1', kind: 'ConfigMap', name, uid: metadata.uid, ...more }
        await cluster.make(maps, { metadata: { name: `${name}-child`, ownerReferences: [reference] } })
      }

      test('dependents go with their owner in the background', async () => {
        await owned('back')
        await cluster.delete(`${maps}/back`, { propagationPolicy: 'Background' })
        await goes(`${maps}/back-child`)
      })

      test('a dependent of an owner that was never there goes too', async () => {
        const uid = '00000000-0000-4000-8000-000000000000'
        const ownerReferences = [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'nobody', uid }]
        await cluster.make(maps, { metadata: { name: 'foundling', ownerReferences } })
        await goes(`${maps}/foundling`)
      })

      test('foreground deletion keeps the owner until blocking dependents are gone', async () => {
        await owned('fore', { blockOwnerDeletion: true })
        const child = `${maps}/fore-child`
        await cluster.patch(child, 'merge', { metadata: { finalizers: ['example.io/slow'] } })
        await cluster.delete(`${maps}/fore`, { propagationPolicy: 'Foreground' })
        await expect
          .poll(async () => (await cluster.get(child)).json.metadata.deletionTimestamp, patience)
          .toEqual(expect.any(String))
        expect((await cluster.get(`${maps}/fore`)).json.metadata.finalizers).toEqual(['foregroundDeletion'])
        await cluster.patch(child, 'merge', { metadata: { finalizers: null } })
        await goes(`${maps}/fore`)
      })

      test('orphans lose the reference and stay', async () => {
        await owned('orphaned')
        await cluster.delete(`${maps}/orphaned`, { propagationPolicy: 'Orphan' })
        await goes(`${maps}/orphaned`)
        expect((await cluster.get(`${maps}/orphaned-child`)).json.metadata.ownerReferences).toBeUndefined()
      })

      test('a namespace comes furnished, and goes with all that is in it', async () => {
        const path = '/api/v1/namespaces/passing'
        await cluster.makeNamespace('passing')
        const { json } = await cluster.get(path)
        expect(json).toMatchObject({
          metadata: { labels: { 'kubernetes.io/metadata.name': 'passing' } },
          spec: { finalizers: ['kubernetes'] },
          status: { phase: 'Active' },
        })
        await expect.poll(() => statusOf(`${path}/serviceaccounts/default`), patience).toBe(200)
        await expect
          .poll(async () => (await cluster.get(`${path}/configmaps/kube-root-ca.crt`)).json.data?.['ca.crt'], patience)
          .toContain('BEGIN CERTIFICATE')
        const held = await cluster.make(`${path}/configmaps`, {
          metadata: { name: 'held', finalizers: ['example.io/keep'] },
        })
        expect((await cluster.delete(path)).json).toMatchObject({ kind: 'Namespace', status: { phase: 'Terminating' } })
        const late = await cluster.post(`${path}/configmaps`, { metadata: { name: 'late' } })
        expect(late.json).toMatchObject({
          code: 403,
          reason: 'Forbidden',
          message:
            'configmaps "late" is forbidden: unable to create new content in namespace passing because it is being terminated',
          details: { causes: [{ reason: 'NamespaceTerminating' }] },
        })
        await expect
          .poll(async () => (await cluster.get(`${path}/configmaps/held`)).json.metadata.deletionTimestamp, patience)
          .toEqual(expect.any(String))
        expect(held.metadata.deletionTimestamp).toBeUndefined()
        await cluster.patch(`${path}/configmaps/held`, 'merge', { metadata: { finalizers: null } })
        await goes(path)
      })
    })
  })
}
