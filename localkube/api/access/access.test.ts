import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { resources } from '../index.ts'
import { startTestApi, type TestApi } from '../testing.ts'

let server: TestApi
beforeAll(async () => {
  server = await startTestApi()
  const { client } = server.api
  for (const name of ['a', 'b']) await client.create(resources.namespaces, { metadata: { name } })
  for (const name of ['reader', 'granter', 'nobody']) {
    await client.create(resources.serviceAccounts, { metadata: { name, namespace: 'a' } })
  }
  await role('reader', [
    { apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'list', 'watch'] },
    { apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list', 'watch'], resourceNames: ['mine'] },
    { apiGroups: [''], resources: ['pods/log'], verbs: ['get'] },
  ])
  await role('granter', [
    { apiGroups: ['rbac.authorization.k8s.io'], resources: ['roles', 'rolebindings'], verbs: ['create', 'update'] },
    { apiGroups: [''], resources: ['pods'], verbs: ['get'] },
    { apiGroups: ['rbac.authorization.k8s.io'], resources: ['clusterroles'], verbs: ['bind'], resourceNames: ['view'] },
  ])
})
afterAll(() => server.close())

async function role(name: string, rules: object[]): Promise<void> {
  const metadata = { name, namespace: 'a' }
  await server.api.client.create(resources.roles, { metadata, rules })
  await server.api.client.create(resources.roleBindings, {
    metadata,
    roleRef: { kind: 'Role', name },
    subjects: [{ kind: 'ServiceAccount', name, namespace: 'a' }],
  })
}

const tokenOf = async (name: string): Promise<string> =>
  (await server.api.client.mintToken({ namespace: 'a', name })).token

describe('roles', () => {
  test('take in those that carry their label, and what those take in', async () => {
    const { client } = server.api
    await client.create(resources.clusterRoles, {
      metadata: { name: 'widgets', labels: { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' } },
      rules: [{ apiGroups: ['example.com'], resources: ['widgets'], verbs: ['get'] }],
    })
    const may = async (role: string) => {
      await client.create(resources.roleBindings, {
        metadata: { name: role, namespace: 'b' },
        roleRef: { kind: 'ClusterRole', name: role },
        subjects: [{ kind: 'User', name: `some-${role}` }],
      })
      const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews'
      const resourceAttributes = { namespace: 'b', verb: 'get', group: 'example.com', resource: 'widgets' }
      const { json } = await server.http(path, {
        method: 'POST',
        body: { spec: { user: `some-${role}`, resourceAttributes } },
      })
      return (json.status as { allowed: boolean }).allowed
    }
    expect([await may('view'), await may('admin')]).toEqual([true, true])
  })

  test.each([
    ['GET', '/api/v1/namespaces/a/configmaps', 200],
    ['GET', '/api/v1/namespaces/a/configmaps/kube-root-ca.crt', 200],
    ['GET', '/api/v1/namespaces/b/configmaps', 403],
    ['GET', '/api/v1/configmaps', 403],
    ['POST', '/api/v1/namespaces/a/configmaps', 403],
    ['DELETE', '/api/v1/namespaces/a/configmaps/kube-root-ca.crt', 403],
    ['GET', '/api/v1/namespaces/a/secrets', 403],
    ['GET', '/api/v1/namespaces/a/secrets/mine', 404],
    ['GET', '/api/v1/namespaces/a/secrets/other', 403],
    ['GET', '/api/v1/namespaces/a/secrets?fieldSelector=metadata.name%3Dmine', 200],
    ['GET', '/api/v1/namespaces/a/pods/p', 403],
    ['GET', '/api/v1/namespaces/a/pods/p/log', 404],
    ['GET', '/apis', 200],
    ['GET', '/metrics', 403],
    ['GET', '/api/v1/namespaces/a/services/s/proxy/', 403],
    ['POST', '/apis/authentication.k8s.io/v1/tokenreviews', 403],
  ])('let the reader %s %s: %i', async (method, path, status) => {
    const body = method === 'POST' ? { body: { metadata: { name: 'x' } } } : {}
    expect((await server.http(path, { method, token: await tokenOf('reader'), ...body })).status).toBe(status)
  })

  test('a refusal says who, what and where', async () => {
    const answer = await server.http('/api/v1/namespaces/b/pods', { token: await tokenOf('nobody') })
    expect(answer.json).toMatchObject({
      code: 403,
      reason: 'Forbidden',
      message:
        'pods is forbidden: User "system:serviceaccount:a:nobody" cannot list resource "pods" in API group "" in the namespace "b"',
    })
  })

  test('nobody grants what he does not hold', async () => {
    const token = await tokenOf('granter')
    const grant = async (rules: object[]) =>
      server.http('/apis/rbac.authorization.k8s.io/v1/namespaces/a/roles', {
        method: 'POST',
        token,
        body: { metadata: { generateName: 'r-' }, rules },
      })
    expect((await grant([{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }])).status).toBe(201)
    const more = await grant([{ apiGroups: [''], resources: ['pods'], verbs: ['get', 'delete'] }])
    expect(more.status).toBe(403)
    expect(more.json.message).toContain('attempting to grant RBAC permissions not currently held')
    expect((await grant([{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }])).status).toBe(403)
  })

  test('nobody binds a role above his own, unless he may bind that one', async () => {
    const bind = async (name: string) =>
      server.http('/apis/rbac.authorization.k8s.io/v1/namespaces/a/rolebindings', {
        method: 'POST',
        token: await tokenOf('granter'),
        body: {
          metadata: { generateName: 'b-' },
          roleRef: { kind: 'ClusterRole', name },
          subjects: [{ kind: 'User', name: 'me' }],
        },
      })
    expect((await bind('cluster-admin')).status).toBe(403)
    expect((await bind('view')).status).toBe(201)
  })

  test('impersonation needs its own permission', async () => {
    const headers = { 'Impersonate-User': 'system:serviceaccount:a:reader' }
    expect((await server.http('/api/v1/namespaces/a/configmaps', { headers })).status).toBe(200)
    expect((await server.http('/api/v1/namespaces/a/pods', { headers })).status).toBe(403)
    const token = await tokenOf('granter')
    expect((await server.http('/api/v1/namespaces/a/configmaps', { headers, token })).status).toBe(403)
  })

  test('access reviews answer as requests would be', async () => {
    const review = async (resourceAttributes: object) => {
      const body = { spec: { user: 'system:serviceaccount:a:reader', resourceAttributes } }
      const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews'
      return (await server.http(path, { method: 'POST', body })).json.status
    }
    expect(await review({ namespace: 'a', verb: 'list', resource: 'configmaps' })).toMatchObject({ allowed: true })
    expect(await review({ namespace: 'b', verb: 'list', resource: 'configmaps' })).toMatchObject({ allowed: false })
  })
})

describe('tokens', () => {
  const review = async (token: string, audiences?: string[]) => {
    const body = { spec: { token, ...(audiences ? { audiences } : {}) } }
    const answer = await server.http('/apis/authentication.k8s.io/v1/tokenreviews', { method: 'POST', body })
    return answer.json.status as {
      authenticated?: boolean
      error?: string
      audiences?: string[]
      user: { username?: string; groups?: string[]; extra?: Record<string, string[]> }
    }
  }
  const makePod = (name: string) =>
    server.api.client.create(resources.pods, {
      metadata: { name, namespace: 'a' },
      spec: { serviceAccountName: 'reader', containers: [{ name: 'c', image: 'i' }] },
    })

  test('bound to a pod name it to the reviewer and die with it, also when a namesake comes', async () => {
    const { metadata } = await makePod('bound')
    const pod = { name: 'bound', uid: metadata.uid }
    const options = { audiences: ['k8sclaw'], expirationSeconds: 600, pod, node: { name: 'local' } }
    const { token } = await server.api.client.mintToken({ namespace: 'a', name: 'reader' }, options)
    const alive = await review(token, ['k8sclaw'])
    expect(alive).toMatchObject({ authenticated: true, audiences: ['k8sclaw'] })
    expect(alive.user.username).toBe('system:serviceaccount:a:reader')
    expect(alive.user.groups).toContain('system:serviceaccounts:a')
    expect(alive.user.extra).toMatchObject({
      'authentication.kubernetes.io/pod-name': ['bound'],
      'authentication.kubernetes.io/pod-uid': [metadata.uid],
      'authentication.kubernetes.io/node-name': ['local'],
    })
    await server.api.client.delete(resources.pods, { namespace: 'a', name: 'bound' })
    expect(await review(token, ['k8sclaw'])).toMatchObject({ error: expect.stringContaining('pod is gone') })
    await makePod('bound')
    expect((await review(token, ['k8sclaw'])).authenticated).toBeUndefined()
  })

  test("of the administrator are known to a reviewer, for this API's audience alone", async () => {
    const { adminToken } = server.api
    expect(await review(adminToken)).toMatchObject({ authenticated: true, user: { username: 'kubernetes-admin' } })
    expect((await review(adminToken, ['k8sclaw'])).authenticated).toBeUndefined()
  })

  test('of another audience are worth nothing here, and nothing at a reviewer that expects a third', async () => {
    const { token } = await server.api.client.mintToken({ namespace: 'a', name: 'reader' }, { audiences: ['k8sclaw'] })
    expect((await server.http('/api/v1/namespaces/a/configmaps', { token })).status).toBe(401)
    expect((await review(token)).authenticated).toBeUndefined()
    expect((await review(token, ['other'])).authenticated).toBeUndefined()
  })

  test('die with their ServiceAccount, also when it is made anew', async () => {
    const { client } = server.api
    const account = { metadata: { name: 'short', namespace: 'a' } }
    await client.create(resources.serviceAccounts, account)
    const { token } = await client.mintToken({ namespace: 'a', name: 'short' })
    expect((await review(token)).authenticated).toBe(true)
    await client.delete(resources.serviceAccounts, { namespace: 'a', name: 'short' })
    await client.create(resources.serviceAccounts, account)
    expect((await review(token)).authenticated).toBeUndefined()
    expect((await server.http('/apis', { token })).status).toBe(401)
  })

  test('that were tampered with are refused', async () => {
    const token = await tokenOf('reader')
    const [header = '', payload = '', signature = ''] = token.split('.')
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object
    const forged = Buffer.from(JSON.stringify({ ...claims, sub: 'system:admin' })).toString('base64url')
    const none = Buffer.from('{"alg":"none"}').toString('base64url')
    for (const bad of [
      `${header}.${forged}.${signature}`,
      `${none}.${payload}.`,
      `${token}.x`,
      `${token}A`.slice(0, -4),
    ]) {
      expect((await server.http('/apis', { token: bad })).status).toBe(401)
    }
  })

  test('are asked for at the ServiceAccount, and not bound to a pod of another', async () => {
    const path = '/api/v1/namespaces/a/serviceaccounts/nobody/token'
    const ask = (spec: object) => server.http(path, { method: 'POST', body: { spec } })
    const given = await ask({ audiences: ['x'], expirationSeconds: 1200 })
    expect(given).toMatchObject({ status: 201, json: { kind: 'TokenRequest', status: { token: expect.any(String) } } })
    expect((await ask({ expirationSeconds: 60 })).status).toBe(422)
    const { metadata } = await makePod('others')
    const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name: 'others', uid: metadata.uid }
    expect((await ask({ boundObjectRef })).status).toBe(400)
  })
})
