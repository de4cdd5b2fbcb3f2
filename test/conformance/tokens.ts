import { beforeAll, describe, expect, test } from 'vitest'
import type { Cluster, Json } from './cluster.ts'
import type { Capabilities } from './index.ts'

const accounts = '/api/v1/namespaces/tokens/serviceaccounts'
const pods = '/api/v1/namespaces/tokens/pods'

/** Tokens of service accounts: asked for, reviewed, bound to pods, and worthless elsewhere. */
export function tokens(cluster: Cluster, { hasControllers }: Capabilities): void {
  describe('tokens', () => {
    const ask = (spec: object, name = 'bot') => cluster.post(`${accounts}/${name}/token`, { spec })
    const tokenFor = async (spec: object = {}): Promise<string> => {
      const { json } = await ask(spec)
      if (!json.status?.token) throw new Error(`no token: ${JSON.stringify(json)}`)
      return json.status.token as string
    }
    const review = async (token: string, audiences?: string[]): Promise<Json> => {
      const spec = { token, ...(audiences ? { audiences } : {}) }
      return (await cluster.post('/apis/authentication.k8s.io/v1/tokenreviews', { spec })).json.status
    }
    const makePod = (name: string) =>
      cluster.make(pods, {
        metadata: { name },
        spec: {
          serviceAccountName: 'bot',
          automountServiceAccountToken: false,
          containers: [{ name: 'c', image: 'i' }],
        },
      })

    beforeAll(async () => {
      await cluster.makeNamespace('tokens')
      await cluster.make(accounts, { metadata: { name: 'bot' } })
    })

    test('are asked for at the account', async () => {
      const { status, json } = await ask({ audiences: ['x'], expirationSeconds: 1200 })
      expect(status).toBe(201)
      expect(json).toMatchObject({ kind: 'TokenRequest', apiVersion: 'authentication.k8s.io/v1' })
      expect(json.spec).toMatchObject({ audiences: ['x'], expirationSeconds: 1200 })
      const lifetime = (Date.parse(json.status.expirationTimestamp) - Date.now()) / 1000
      expect(lifetime).toBeGreaterThan(1100)
      expect(lifetime).toBeLessThan(1300)
      const claims = JSON.parse(Buffer.from(json.status.token.split('.')[1], 'base64url').toString()) as Json
      expect(claims).toMatchObject({ aud: ['x'], sub: 'system:serviceaccount:tokens:bot' })
      expect(claims['kubernetes.io']).toMatchObject({ namespace: 'tokens', serviceaccount: { name: 'bot' } })
    })

    test.each([
      [
        { expirationSeconds: 60 },
        422,
        'spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes',
      ],
      [{ boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'nobody' } }, 404, 'pods "nobody" not found'],
      [
        { boundObjectRef: { kind: 'ConfigMap', apiVersion: 'v1', name: 'x' } },
        400,
        'cannot bind token to object of type /v1, Kind=ConfigMap',
      ],
    ])('%j is refused with %i', async (spec, code, message) => {
      const { json } = await ask(spec)
      expect(json).toMatchObject({ code })
      expect(json.message).toContain(message)
    })

    test('of accounts that are not there are not given', async () => {
      const { json } = await ask({}, 'nobody')
      expect(json).toMatchObject({ code: 404, message: 'serviceaccounts "nobody" not found' })
    })

    test('say to a reviewer whose they are', async () => {
      const status = await review(await tokenFor())
      expect(status.authenticated).toBe(true)
      expect(status.user).toMatchObject({
        username: 'system:serviceaccount:tokens:bot',
        uid: (await cluster.get(`${accounts}/bot`)).json.metadata.uid,
        groups: ['system:serviceaccounts', 'system:serviceaccounts:tokens', 'system:authenticated'],
      })
    })

    test('of another audience are worth nothing here, and nothing at a reviewer that expects a third', async () => {
      const token = await tokenFor({ audiences: ['k8sclaw', 'other'] })
      expect(await review(token, ['k8sclaw', 'third'])).toMatchObject({ authenticated: true, audiences: ['k8sclaw'] })
      const wrong = await review(token, ['third'])
      expect(wrong.authenticated).toBeUndefined()
      expect(wrong.error).toEqual(expect.stringMatching(/audience/))
      expect((await review(token)).authenticated).toBeUndefined()
      const refused = await cluster.get('/api/v1/namespaces/tokens/configmaps', { token })
      expect(refused.json).toMatchObject({ code: 401, reason: 'Unauthorized', message: 'Unauthorized' })
    })

    test('that are none are refused', async () => {
      const token = await tokenFor()
      expect((await cluster.get('/version', { token })).status).toBe(200)
      const [header = '', payload = '', signature = ''] = token.split('.')
      const none = Buffer.from('{"alg":"none"}').toString('base64url')
      for (const bad of ['x', `${header}.${payload}.x${signature}`, `${none}.${payload}.`]) {
        expect((await cluster.get('/version', { token: bad })).status).toBe(401)
        expect((await review(bad)).authenticated).toBeUndefined()
      }
    })

    test('bound to a pod name it to the reviewer, and die with it', async () => {
      const { metadata } = await makePod('bound')
      const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name: 'bound', uid: metadata.uid }
      const token = await tokenFor({ audiences: ['k8sclaw'], expirationSeconds: 600, boundObjectRef })
      const { user } = await review(token, ['k8sclaw'])
      expect(user.extra).toMatchObject({
        'authentication.kubernetes.io/pod-name': ['bound'],
        'authentication.kubernetes.io/pod-uid': [metadata.uid],
        'authentication.kubernetes.io/credential-id': [expect.stringMatching(/^JTI=[0-9a-f-]{36}$/)],
      })
      await cluster.delete(`${pods}/bound?gracePeriodSeconds=0`)
      await expect
        .poll(async () => (await review(token, ['k8sclaw'])).authenticated, { timeout: 30_000 })
        .toBeUndefined()
      await makePod('bound')
      expect((await review(token, ['k8sclaw'])).authenticated).toBeUndefined()
    })

    test('are not bound to a namesake, nor to the pod of another account', async () => {
      await makePod('other')
      const wrongUid = await ask({ boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'other', uid: 'wrong' } })
      expect(wrongUid.json).toMatchObject({ code: 409, reason: 'Conflict' })
      await cluster.make(accounts, { metadata: { name: 'stranger' } })
      const foreign = await ask({ boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'other' } }, 'stranger')
      expect(foreign.json).toMatchObject({
        code: 400,
        message: 'cannot bind token for serviceaccount "stranger" to pod running with different serviceaccount name.',
      })
    })

    test('die with their account, also when it is made anew', async () => {
      await cluster.make(accounts, { metadata: { name: 'short' } })
      const token = (await ask({}, 'short')).json.status.token as string
      expect((await review(token)).authenticated).toBe(true)
      await cluster.delete(`${accounts}/short`)
      await cluster.make(accounts, { metadata: { name: 'short' } })
      await expect.poll(async () => (await review(token)).authenticated, { timeout: 30_000 }).toBeUndefined()
    })

    test.skipIf(!hasControllers)('are put into pods that do not refuse them', async () => {
      await expect.poll(async () => (await cluster.get(`${accounts}/default`)).status, { timeout: 30_000 }).toBe(200)
      const { spec } = await cluster.make(pods, {
        metadata: { name: 'mounted' },
        spec: { containers: [{ name: 'c', image: 'i' }] },
      })
      expect(spec.serviceAccountName).toBe('default')
      const [volume] = spec.volumes
      expect(volume.name).toMatch(/^kube-api-access-.{5}$/)
      expect(volume.projected.sources).toMatchObject([
        { serviceAccountToken: { path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt' } },
        { downwardAPI: { items: [{ path: 'namespace' }] } },
      ])
      expect(spec.containers[0].volumeMounts).toEqual([
        { name: volume.name, readOnly: true, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' },
      ])
    })

    test('kubectl makes them', async () => {
      const token = await cluster.kubectl('-n tokens create token bot --audience=k8sclaw --duration=20m')
      expect(await review(token, ['k8sclaw'])).toMatchObject({ authenticated: true })
    })
  })
}
