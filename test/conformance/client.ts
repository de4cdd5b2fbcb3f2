import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isClawError } from '#core/errors'
import { type ConfigMap, configMaps, connectKube, createOrAdopt, Informer, type Kube } from '#core/kube'
import type { Cluster } from './cluster.ts'

/** The client of our own programs. */
export function client(cluster: Cluster): void {
  describe('core/kube', () => {
    const clients: Kube[] = []
    const connect = (token: string): Kube => {
      const { url, caPem } = cluster.target
      const kube = connectKube({ server: url, ca: caPem, token })
      clients.push(kube)
      return kube
    }
    const configMap = (name: string, data: Record<string, string> = {}) => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace: 'client' },
      data,
    })
    const at = (name: string) => ({ namespace: 'client', name })
    const codeOf = async (work: Promise<unknown>): Promise<string | undefined> => {
      try {
        await work
        return undefined
      } catch (error) {
        return isClawError(error) ? error.code : String(error)
      }
    }
    let kube: Kube

    beforeAll(async () => {
      kube = connect(cluster.target.token)
      await cluster.makeNamespace('client')
    })
    afterAll(() => {
      for (const one of clients) one.close()
    })

    test('names each failure by its code', async () => {
      const first = await kube.create<ConfigMap>(configMaps, configMap('named'))
      expect(await codeOf(kube.create(configMaps, configMap('named')))).toBe('already_exists')
      expect(await codeOf(kube.get(configMaps, at('none')))).toBe('not_found')
      expect(await codeOf(kube.create(configMaps, configMap('Not_OK')))).toBe('invalid')
      await kube.patch(configMaps, at('named'), { data: { a: '1' } })
      expect(await codeOf(kube.update(configMaps, first))).toBe('conflict')
      expect(await codeOf(kube.delete(configMaps, at('named'), { uid: 'another' }))).toBe('conflict')
      await cluster.make('/api/v1/namespaces/client/serviceaccounts', { metadata: { name: 'bot' } })
      const bot = connect(await kube.createToken(at('bot')))
      expect(await codeOf(bot.list(configMaps, { namespace: 'client' }))).toBe('forbidden')
      expect(await codeOf(connect('nonsense').list(configMaps, { namespace: 'client' }))).toBe('unauthenticated')
    })

    test('adopts its own children, and nobody else’s', async () => {
      const owner = await kube.create<ConfigMap>(configMaps, configMap('owner'))
      const other = await kube.create<ConfigMap>(configMaps, configMap('other'))
      expect((await createOrAdopt(kube, configMaps, configMap('child'), owner)).created).toBe(true)
      expect((await createOrAdopt(kube, configMaps, configMap('child'), owner)).created).toBe(false)
      expect(await codeOf(createOrAdopt(kube, configMaps, configMap('child'), other))).toBe('not_ours')
    })

    test('an informer sees what comes, changes and goes', async () => {
      const ending = new AbortController()
      const informer = new Informer<ConfigMap>(kube, configMaps, { namespace: 'client' })
      const running = informer.run(ending.signal)
      try {
        await kube.create<ConfigMap>(configMaps, configMap('seen', { a: '1' }))
        await expect.poll(() => informer.get('client/seen')?.data, { timeout: 20_000 }).toEqual({ a: '1' })
        await kube.patch(configMaps, at('seen'), { data: { a: '2' } })
        await expect.poll(() => informer.get('client/seen')?.data, { timeout: 20_000 }).toEqual({ a: '2' })
        await kube.delete(configMaps, at('seen'))
        await expect.poll(() => informer.get('client/seen'), { timeout: 20_000 }).toBeUndefined()
      } finally {
        ending.abort()
        await running
      }
    })
  })
}
