import { beforeAll, describe, expect, test, vi } from 'vitest'
import type { Cluster, RequestOptions } from './cluster.ts'

const rbac = '/apis/rbac.authorization.k8s.io/v1/namespaces/access'
const account = (name: string) => `system:serviceaccount:access:${name}`
const as = (name: string): RequestOptions => ({ headers: { 'Impersonate-User': account(name) } })

/** Who may do what, and in which words the others are refused. */
export function access(cluster: Cluster): void {
  describe('access', () => {
    const role = async (name: string, rules: object[]): Promise<void> => {
      await cluster.make('/api/v1/namespaces/access/serviceaccounts', { metadata: { name } })
      await cluster.make(`${rbac}/roles`, { metadata: { name }, rules })
      await cluster.make(`${rbac}/rolebindings`, {
        metadata: { name },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
        subjects: [{ kind: 'ServiceAccount', name, namespace: 'access' }],
      })
    }

    beforeAll(async () => {
      await cluster.makeNamespace('access')
      await role('reader', [
        { apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'list', 'watch'] },
        { apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list'], resourceNames: ['mine'] },
        { apiGroups: [''], resources: ['pods/log'], verbs: ['get'] },
      ])
      await role('granter', [
        { apiGroups: ['rbac.authorization.k8s.io'], resources: ['roles', 'rolebindings'], verbs: ['create', 'update'] },
        { apiGroups: [''], resources: ['pods'], verbs: ['get'] },
        {
          apiGroups: ['rbac.authorization.k8s.io'],
          resources: ['clusterroles'],
          verbs: ['bind'],
          resourceNames: ['view'],
        },
      ])
      // Authorizers follow roles with a delay.
      const path = '/api/v1/namespaces/access/configmaps'
      await vi.waitFor(async () => expect((await cluster.get(path, as('reader'))).status).toBe(200), 10_000)
    })

    test.each([
      ['GET', '/api/v1/namespaces/access/configmaps', 200],
      ['GET', '/api/v1/namespaces/access/configmaps/none', 404],
      ['GET', '/api/v1/namespaces/default/configmaps', 403],
      ['GET', '/api/v1/configmaps', 403],
      ['POST', '/api/v1/namespaces/access/configmaps', 403],
      ['DELETE', '/api/v1/namespaces/access/configmaps', 403],
      ['GET', '/api/v1/namespaces/access/secrets', 403],
      ['GET', '/api/v1/namespaces/access/secrets?fieldSelector=metadata.name%3Dmine', 200],
      ['GET', '/api/v1/namespaces/access/secrets/mine', 404],
      ['GET', '/api/v1/namespaces/access/secrets/yours', 403],
      ['GET', '/api/v1/namespaces/access/pods/none', 403],
      ['GET', '/api/v1/namespaces/access/pods/none/log', 404],
      ['GET', '/api', 200],
      ['GET', '/version', 200],
      ['GET', '/metrics', 403],
    ])('a reader asking %s %s is answered %i', async (method, path, status) => {
      const body = method === 'POST' ? { metadata: { name: 'x' } } : undefined
      expect((await cluster.send(method, path, body, as('reader'))).status).toBe(status)
    })

    test.each([
      [
        'GET',
        '/api/v1/namespaces/access/secrets/yours',
        `secrets "yours" is forbidden: User "${account('reader')}" cannot get resource "secrets" in API group "" in the namespace "access"`,
      ],
      [
        'GET',
        '/apis/apps/v1/deployments',
        `deployments.apps is forbidden: User "${account('reader')}" cannot list resource "deployments" in API group "apps" at the cluster scope`,
      ],
      [
        'POST',
        '/apis/apps/v1/namespaces/access/deployments',
        `deployments.apps is forbidden: User "${account('reader')}" cannot create resource "deployments" in API group "apps" in the namespace "access"`,
      ],
      [
        'GET',
        '/api/v1/namespaces/access',
        `namespaces "access" is forbidden: User "${account('reader')}" cannot get resource "namespaces" in API group "" in the namespace "access"`,
      ],
      [
        'PATCH',
        '/apis/apps/v1/namespaces/access/deployments/web/status',
        `deployments.apps "web" is forbidden: User "${account('reader')}" cannot patch resource "deployments/status" in API group "apps" in the namespace "access"`,
      ],
      ['GET', '/metrics', `forbidden: User "${account('reader')}" cannot get path "/metrics"`],
    ])('the refusal of %s %s says who, what and where', async (method, path, message) => {
      const { json } = await cluster.send(method, path, method === 'GET' ? undefined : {}, as('reader'))
      expect(json).toMatchObject({ kind: 'Status', code: 403, reason: 'Forbidden', message })
    })

    test('nobody grants what he does not hold', async () => {
      const grant = (name: string, rules: object[]) =>
        cluster.post(`${rbac}/roles`, { metadata: { name }, rules }, as('granter'))
      expect((await grant('same', [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }])).status).toBe(201)
      const more = await grant('more', [{ apiGroups: [''], resources: ['pods'], verbs: ['get', 'delete'] }])
      expect(more.json).toMatchObject({ code: 403, reason: 'Forbidden' })
      expect(more.json.message).toBe(
        `roles.rbac.authorization.k8s.io "more" is forbidden: user "${account('granter')}" (groups=["system:serviceaccounts" "system:serviceaccounts:access" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}`,
      )
    })

    test('nobody binds a role above his own, unless he may bind that one', async () => {
      const bind = (name: string) =>
        cluster.post(
          `${rbac}/rolebindings`,
          {
            metadata: { generateName: 'b-' },
            roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
            subjects: [{ kind: 'User', name: 'me' }],
          },
          as('granter'),
        )
      expect((await bind('cluster-admin')).json.message).toContain(
        'is attempting to grant RBAC permissions not currently held',
      )
      expect((await bind('view')).status).toBe(201)
    })

    test('what a binding binds never changes', async () => {
      const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'granter' }
      const { json } = await cluster.patch(`${rbac}/rolebindings/reader`, 'merge', { roleRef })
      expect(json).toMatchObject({ code: 422 })
      expect(json.message).toContain(
        'RoleBinding.rbac.authorization.k8s.io "reader" is invalid: roleRef: Invalid value:',
      )
      expect(json.message).toContain('cannot change roleRef')
    })

    test('impersonation needs its own permission', async () => {
      const reader = await cluster.make('/api/v1/namespaces/access/serviceaccounts/reader/token', { spec: {} })
      const { json } = await cluster.get('/api/v1/namespaces/access/configmaps', {
        token: reader.status.token,
        ...as('granter'),
      })
      // The sentence is another one in each of the last versions.
      expect(json).toMatchObject({ code: 403, reason: 'Forbidden' })
    })

    test('access reviews answer as requests would be', async () => {
      const review = async (resourceAttributes: object) => {
        const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews'
        return (await cluster.post(path, { spec: { user: account('reader'), resourceAttributes } })).json.status
      }
      const list = { namespace: 'access', verb: 'list', resource: 'configmaps' }
      expect(await review(list)).toMatchObject({ allowed: true })
      expect(await review({ ...list, namespace: 'default' })).toEqual({ allowed: false })
      expect(await review({ ...list, verb: 'get', resource: 'secrets', name: 'mine' })).toMatchObject({ allowed: true })
      expect(await review({ ...list, verb: 'get', resource: 'secrets' })).toEqual({ allowed: false })
      expect(await review({ ...list, verb: 'get', resource: 'pods', subresource: 'log' })).toMatchObject({
        allowed: true,
      })
    })

    test('a review about oneself needs no permission, one about others does', async () => {
      const resourceAttributes = { namespace: 'access', verb: 'list', resource: 'configmaps' }
      const self = await cluster.post(
        '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
        { spec: { resourceAttributes } },
        as('reader'),
      )
      expect(self.json.status).toMatchObject({ allowed: true })
      const other = await cluster.post(
        '/apis/authorization.k8s.io/v1/subjectaccessreviews',
        { spec: { user: 'x', resourceAttributes } },
        as('reader'),
      )
      expect(other.json).toMatchObject({ code: 403, reason: 'Forbidden' })
    })

    test('kubectl asks the same', async () => {
      expect(await cluster.kubectl(`-n access auth can-i list configmaps --as=${account('reader')}`)).toBe('yes')
      const no = await cluster.tryKubectl(`-n access auth can-i delete pods --as=${account('reader')}`)
      expect([no.code, no.stdout.trim()]).toEqual([1, 'no'])
      expect(await cluster.kubectl('auth whoami')).toContain('kubernetes-admin')
      expect(await cluster.kubectl(`-n access auth can-i --list --as=${account('reader')}`)).toMatch(
        /configmaps +\[\] +\[\] +\[get list watch\]/,
      )
    })
  })
}
