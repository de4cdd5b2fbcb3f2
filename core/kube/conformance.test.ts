import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type ApiServer, startApi } from '#localkube/api'
import type { Kube } from './client.ts'
import { Informer } from './informer.ts'
import { connectKube, loadKube } from './load.ts'
import { createOrAdopt } from './names.ts'
import { type ConfigMap, configMaps, namespaces, secrets, serviceAccounts } from './resources.ts'

let folder = ''
let api: ApiServer
let kube: Kube
const options = () => ({ dataDir: join(folder, 'api'), address: '127.0.0.1', serviceAddress: '127.0.0.1' })

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'k8sclaw-kube-'))
  api = await startApi({ ...options(), port: 0 })
  kube = connectKube({ server: api.url, ca: api.caPem, token: api.adminToken })
})
afterAll(async () => {
  kube.close()
  await api.close()
  await rm(folder, { recursive: true, force: true })
})

const map = (name: string, data: Record<string, string> = {}): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'default' },
  data,
})

describe('the client against an API server', () => {
  it('creates, reads, patches both ways, replaces and deletes', async () => {
    const created = await kube.create(configMaps, map('a', { x: '1' }))
    await expect(kube.create(configMaps, map('a'))).rejects.toMatchObject({ code: 'already_exists' })
    await kube.patch(configMaps, created.metadata, { data: { y: '2' } })
    await kube.patch(configMaps, created.metadata, [{ op: 'remove', path: '/data/x' }])
    expect((await kube.get<ConfigMap>(configMaps, created.metadata)).data).toEqual({ y: '2' })
    await expect(kube.update(configMaps, created)).rejects.toMatchObject({ code: 'conflict' })
    const stale = { metadata: { resourceVersion: created.metadata.resourceVersion }, data: { z: '3' } }
    await expect(kube.patch(configMaps, created.metadata, stale)).rejects.toMatchObject({ code: 'conflict' })
    await expect(kube.delete(configMaps, created.metadata, { uid: 'another' })).rejects.toMatchObject({
      code: 'conflict',
    })
    await kube.delete(configMaps, created.metadata)
    await expect(kube.get(configMaps, created.metadata)).rejects.toMatchObject({ code: 'not_found' })
    expect(await kube.find(configMaps, created.metadata)).toBeUndefined()
  })

  it('lists more than a page', async () => {
    const namespace = 'many'
    await kube.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
    for (let n = 0; n < 501; n += 50) {
      const names = Array.from({ length: Math.min(50, 501 - n) }, (_, i) => `m-${n + i}`)
      await Promise.all(names.map((name) => kube.create(configMaps, { ...map(name), metadata: { name, namespace } })))
    }
    const { items } = await kube.list(configMaps, { namespace })
    expect(new Set(items.filter((i) => i.metadata.name.startsWith('m-')).map((i) => i.metadata.name)).size).toBe(501)
  })

  it('names the field of what is invalid', async () => {
    const error: unknown = await kube.create(configMaps, map('Not A Name')).catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'invalid', field: 'metadata.name' })
  })

  it('acts as a service account and is refused what that may not do', async () => {
    const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'nobody', namespace: 'default' } }
    await kube.create(serviceAccounts, account)
    const token = await kube.createToken(account.metadata, { audiences: ['k8sclaw'] })
    expect(await kube.tokenReview(token, ['k8sclaw'])).toMatchObject({
      authenticated: true,
      username: 'system:serviceaccount:default:nobody',
    })
    expect(await kube.tokenReview(token, ['another'])).toMatchObject({ authenticated: false })
    expect(await kube.tokenReview('nonsense')).toMatchObject({ authenticated: false })
    const own = await kube.createToken(account.metadata)
    await expect(kube.withToken(own).list(secrets)).rejects.toMatchObject({ code: 'forbidden' })
    await expect(kube.withToken('nonsense').list(secrets)).rejects.toMatchObject({ code: 'unauthenticated' })
    const question = { user: 'system:serviceaccount:default:nobody', verb: 'list', resource: secrets }
    expect(await kube.subjectAccessReview({ ...question, namespace: 'default' })).toBe(false)
  })

  it('adopts what it owns and leaves what it does not', async () => {
    const owner = await kube.create(configMaps, map('owner'))
    expect(await createOrAdopt(kube, configMaps, map('child'), owner)).toMatchObject({ created: true })
    expect(await createOrAdopt(kube, configMaps, map('child'), owner)).toMatchObject({ created: false })
    await kube.create(configMaps, map('foreign'))
    await expect(createOrAdopt(kube, configMaps, map('foreign'), owner)).rejects.toMatchObject({ code: 'not_ours' })
  })
})

describe('an informer against an API server', () => {
  it('outlives a restart of the server and sees what happened meanwhile', async () => {
    const stop = new AbortController()
    const seen: string[] = []
    const informer = new Informer<ConfigMap>(kube, configMaps, {
      namespace: 'default',
      labelSelector: 'watched=yes',
      backoff: { baseMs: 5, maxMs: 50 },
    })
    informer.on({
      add: (o) => seen.push(`add ${o.metadata.name}`),
      update: (o) => seen.push(`update ${o.metadata.name}`),
      delete: (o) => seen.push(`delete ${o.metadata.name}`),
    })
    const watched = (name: string): ConfigMap => ({
      ...map(name),
      metadata: { ...map(name).metadata, labels: { watched: 'yes' } },
    })
    const running = informer.run(stop.signal)
    await informer.synced()
    await kube.create(configMaps, watched('one'))
    await vi.waitFor(() => expect(seen).toEqual(['add one']))
    const { port } = new URL(api.url)
    await api.close()
    api = await startApi({ ...options(), port: Number(port) })
    await kube.delete(configMaps, watched('one').metadata)
    await kube.create(configMaps, watched('two'))
    await vi.waitFor(() => expect(seen).toEqual(['add one', 'delete one', 'add two']), 10_000)
    stop.abort()
    await running
  })
})

describe('loadKube', () => {
  it('finds the service account of its pod, before a kubeconfig in the home folder', async () => {
    const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'pod', namespace: 'default' } }
    await kube.create(serviceAccounts, account)
    const files = join(folder, 'serviceaccount')
    await mkdir(join(folder, '.kube'))
    await mkdir(files)
    await writeFile(join(folder, '.kube', 'config'), 'not: a kubeconfig')
    await writeFile(join(files, 'token'), await kube.createToken(account.metadata))
    await writeFile(join(files, 'ca.crt'), api.caPem)
    await writeFile(join(files, 'namespace'), 'default')
    const { hostname, port } = new URL(api.url)
    const inPod = await loadKube({
      env: {
        HOME: folder,
        KUBERNETES_SERVICE_HOST: hostname,
        KUBERNETES_SERVICE_PORT: port,
        K8SCLAW_SERVICEACCOUNT_DIR: files,
      },
    })
    await expect(inPod.list(secrets)).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.stringContaining('default:pod'),
    })
    expect(inPod.namespace).toBe('default')
    inPod.close()
  })

  it('says in one sentence what is missing', async () => {
    const nothing = loadKube({ env: { HOME: join(folder, 'nobody'), K8SCLAW_SERVICEACCOUNT_DIR: '/nowhere' } })
    await expect(nothing).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringContaining('KUBECONFIG is not set'),
    })
  })

  it('reads a kubeconfig, its context and its namespace', async () => {
    const file = join(folder, 'kubeconfig')
    await writeFile(file, api.kubeconfig())
    const env = { KUBECONFIG: file }
    const admin = await loadKube({ env, namespace: 'many' })
    expect(admin.namespace).toBe('many')
    expect((await admin.list(namespaces)).items.length).toBeGreaterThan(1)
    expect(await admin.bearerToken()).toBe(api.adminToken)
    await expect(admin.withToken('nonsense').list(namespaces)).rejects.toMatchObject({ code: 'unauthenticated' })
    admin.close()
    await expect(loadKube({ env, context: 'absent' })).rejects.toMatchObject({ code: 'invalid' })
  })
})
