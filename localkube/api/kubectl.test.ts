import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { resources } from './index.ts'
import { startTestApi, type TestApi } from './testing.ts'

/** What an unmodified kubectl is told here and nowhere else; what every Kubernetes tells it is test/conformance. */
describe('kubectl', () => {
  let server: TestApi
  beforeAll(async () => {
    server = await startTestApi()
    await server.api.client.create(resources.namespaces, { metadata: { name: 'work' } })
  })
  afterAll(() => server.close())

  const kubectl = async (line: string, input?: string): Promise<string> => {
    const { code, stdout, stderr } = await server.kubectl(['-n', 'work', ...line.split(' ')], input)
    if (code !== 0) throw new Error(stderr)
    return (stdout + stderr).trim()
  }
  const failing = async (line: string, input?: string): Promise<string> => {
    const { code, stdout, stderr } = await server.kubectl(['-n', 'work', ...line.split(' ')], input)
    if (code === 0) throw new Error(`it succeeded: ${stdout}`)
    return stderr.trim()
  }

  test('finds a server of a version it knows, with the Service of the API', async () => {
    expect(await kubectl('version')).toContain('Server Version: v1.32')
    expect(await kubectl('get all --all-namespaces')).toContain('service/kubernetes')
  })

  test('is told in a sentence what this server does not do', async () => {
    const map = stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c' } })
    expect(await failing('apply --server-side -f -', map)).toContain('without --server-side')
    expect(await failing('create deployment d --image=x')).toContain('kubectl apply -f')
  })

  test('asks who it is and what it may do', async () => {
    expect(await kubectl('create serviceaccount bot')).toBe('serviceaccount/bot created')
    expect(await kubectl('create token bot')).toMatch(/^ey/)
    expect(await kubectl('auth whoami')).toContain('kubernetes-admin')
    expect(await kubectl('auth can-i list pods')).toBe('yes')
    expect(await kubectl('auth can-i --list')).toContain('*.*')
  })

  test('labels, selects, watches, and deletes collections at once', async () => {
    expect(await kubectl('create configmap c --from-literal=a=b')).toBe('configmap/c created')
    expect(await kubectl('label configmap c tier=front')).toContain('labeled')
    expect(await kubectl('get configmap -l tier=front -o name')).toBe('configmap/c')
    expect(await kubectl('get cm -w --request-timeout=1s')).toMatch(/kube-root-ca.crt/)
    expect(await kubectl('delete configmap -l tier=front')).toContain('configmap "c" deleted')
  })
})
