import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { resources } from './index.ts'
import { startTestApi, type TestApi, widgetDefinition } from './testing.ts'

/** The commands of a day's work, by an unmodified kubectl. */
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
  const widget = (spec: object): string =>
    stringify({ apiVersion: 'example.io/v1', kind: 'Widget', metadata: { name: 'w1' }, spec })
  const deployment = (value: string, image = 'two:1'): string =>
    stringify({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web' },
      spec: {
        selector: { matchLabels: { app: 'web' } },
        template: {
          metadata: { labels: { app: 'web' } },
          spec: {
            containers: [
              {
                name: 'one',
                image: 'one:1',
                env: [
                  { name: 'A', value: '1' },
                  { name: 'B', value },
                ],
              },
              { name: 'two', image },
            ],
          },
        },
      },
    })

  test('finds its way: version, api-resources, cluster-info, get all', async () => {
    expect(await kubectl('version')).toContain('Server Version: v1.32')
    expect(await kubectl('api-resources -o name')).toContain('deployments.apps')
    expect(await kubectl('cluster-info')).toContain('is running at')
    expect(await kubectl('get all --all-namespaces')).toContain('service/kubernetes')
  })

  test('teaches a kind and uses it: apply, get, explain, describe, diff, patch, wait, delete', async () => {
    expect(await kubectl('apply -f -', stringify(widgetDefinition))).toContain('created')
    expect(await kubectl('wait --for=condition=Established crd/widgets.example.io')).toContain('condition met')
    expect(await kubectl('apply -f -', widget({ size: 3 }))).toBe('widget.example.io/w1 created')
    expect(await kubectl('apply -f -', widget({ size: 4 }))).toBe('widget.example.io/w1 configured')
    expect(await kubectl('apply -f -', widget({ size: 4 }))).toBe('widget.example.io/w1 unchanged')
    expect(await failing('diff -f -', widget({ size: 5 }))).not.toContain('error')
    expect(await kubectl('get wd')).toMatch(/NAME\s+SIZE\s+PHASE\nw1\s+4/)
    expect(await kubectl('get wd -o wide')).toContain('READY')
    expect(await kubectl('get gadgets -o name')).toBe('widget.example.io/w1')
    expect(await kubectl('explain widget.spec')).toMatch(/color\s+<string>/)
    expect(await kubectl('describe wd w1')).toMatch(/Size:\s+4/)
    expect(await kubectl('patch wd w1 --type=merge -p {"spec":{"size":5}}')).toContain('patched')
    expect(await kubectl('patch wd w1 --type=json -p [{"op":"replace","path":"/spec/size","value":6}]')).toContain(
      'patched',
    )
    const status = '{"status":{"phase":"Ready"}}'
    expect(await kubectl(`patch wd w1 --subresource=status --type=merge -p ${status}`)).toContain('patched')
    expect(await kubectl('wait wd/w1 --for=jsonpath=.status.phase=Ready --timeout=5s')).toContain('condition met')
    expect(await kubectl('create --dry-run=server -f -', widget({ size: 1 }).replace('w1', 'w2'))).toContain('dry run')
    expect(await kubectl('delete wd w1')).toContain('deleted')
    expect(await kubectl('get wd')).toBe('No resources found in work namespace.')
  })

  test('is told what is wrong, in the words of the real server', async () => {
    expect(await failing('apply -f -', widget({ size: 3, sise: 1 }))).toContain(
      'strict decoding error: unknown field "spec.sise"',
    )
    expect(await failing('apply -f -', widget({ size: 30 }))).toContain(
      'spec.size: Invalid value: 30: spec.size in body should be less than or equal to 10',
    )
    expect(await failing('apply -f -', deployment('1').replace('containers:', 'kontainers:'))).toContain(
      'unknown field "spec.template.spec.kontainers"',
    )
    expect(await failing('apply --server-side -f -', widget({ size: 3 }))).toContain('without --server-side')
    expect(await failing('create deployment d --image=x')).toContain('kubectl apply -f')
    expect(await failing('get wd nothing')).toBe('Error from server (NotFound): widgets.example.io "nothing" not found')
  })

  test('creates by typed commands, which send protobuf', async () => {
    expect(await kubectl('create secret generic s --from-literal=key=value')).toBe('secret/s created')
    expect(await kubectl('get secret s -o jsonpath={.data.key}')).toBe('dmFsdWU=')
    expect(await kubectl('create configmap c --from-literal=a=b')).toBe('configmap/c created')
    expect(await kubectl('create namespace more')).toBe('namespace/more created')
    expect(await kubectl('create serviceaccount bot')).toBe('serviceaccount/bot created')
    expect(await kubectl('create role reader --verb=get,list --resource=pods')).toContain('created')
    expect(await kubectl('create rolebinding reads --role=reader --serviceaccount=work:bot')).toContain('created')
    expect(await kubectl('create token bot')).toMatch(/^ey/)
    expect(await kubectl('delete namespace more')).toContain('deleted')
  })

  test('asks what may be done', async () => {
    expect(await kubectl('auth can-i list pods')).toBe('yes')
    const bot = '--as=system:serviceaccount:work:bot'
    expect(await kubectl(`auth can-i list pods ${bot}`)).toBe('yes')
    const { stdout } = await server.kubectl(`-n work auth can-i delete pods ${bot}`.split(' '))
    expect(stdout.trim()).toBe('no')
    expect(await kubectl('auth whoami')).toContain('kubernetes-admin')
    expect(await kubectl('auth can-i --list')).toContain('*.*')
    expect(await failing(`get secrets ${bot}`)).toContain(
      'secrets is forbidden: User "system:serviceaccount:work:bot" cannot list resource "secrets" in API group "" in the namespace "work"',
    )
  })

  test('merges built-in kinds strategically', async () => {
    expect(await kubectl('apply -f -', deployment('2'))).toBe('deployment.apps/web created')
    expect(await kubectl('apply -f -', deployment('3', 'two:2'))).toBe('deployment.apps/web configured')
    const path = '{.spec.template.spec.containers[*].image} {.spec.template.spec.containers[0].env[*].value}'
    const read = async () =>
      (await server.kubectl(['-n', 'work', 'get', 'deploy', 'web', '-o', `jsonpath=${path}`])).stdout
    expect(await read()).toBe('one:1 two:2 1 3')
    expect(await kubectl('set image deploy/web one=one:9')).toContain('image updated')
    expect(await kubectl('rollout restart deploy/web')).toContain('restarted')
    expect(await kubectl('apply -f -', deployment('3', 'two:2'))).toBe('deployment.apps/web configured')
    expect(await read()).toBe('one:1 two:2 1 3')
    expect(await kubectl('get deploy')).toMatch(/web\s+0\/1/)
    expect(await kubectl('describe deploy web')).toContain('StrategyType:')
    expect(await kubectl('label deploy web tier=front')).toContain('labeled')
    expect(await kubectl('get deploy -l tier=front -o name')).toBe('deployment.apps/web')
  })

  test('watches and deletes collections', async () => {
    expect(await kubectl('get cm -w --request-timeout=1s')).toMatch(/kube-root-ca.crt/)
    expect(await kubectl('delete deploy,secret --all')).toContain('deployment.apps "web" deleted')
    expect(await kubectl('delete crd widgets.example.io')).toContain('deleted')
  })
})
