import { beforeAll, describe, expect, test } from 'vitest'
import type { Cluster } from './cluster.ts'
import type { Capabilities } from './index.ts'

/** The commands of a day's work, by an unmodified kubectl. */
export function commands(cluster: Cluster, { hasControllers }: Capabilities): void {
  describe('kubectl', () => {
    const run = (line: string, ...documents: object[]) =>
      cluster.kubectl(['-n', 'daily', ...line.split(' ')], ...documents)
    const fail = (line: string, ...documents: object[]) =>
      cluster.failingKubectl(['-n', 'daily', ...line.split(' ')], ...documents)
    const widget = (spec: object, name = 'w1') => ({
      apiVersion: 'example.io/v1',
      kind: 'Widget',
      metadata: { name },
      spec,
    })
    const deployment = (value: string, image = 'two:1') => ({
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

    beforeAll(() => cluster.makeNamespace('daily'))

    test('finds its way: version, api-resources, categories, short names', async () => {
      expect(await run('version')).toContain('Server Version: v1.')
      expect(await run('cluster-info')).toContain('is running at')
      const resources = await run('api-resources --api-group=k8sclaw.io --no-headers')
      expect(resources).toMatch(/^agentruns +ar,run +k8sclaw\.io\/v1alpha1 +true +AgentRun$/m)
      expect(await run('api-resources -o name')).toContain('deployments.apps')
      expect(await run('get k8sclaw')).toContain('No resources found')
      expect(await run('get all')).toContain('No resources found')
      expect(await fail('get nothing')).toBe('error: the server doesn\'t have a resource type "nothing"')
    })

    test('applies, shows, explains, describes, diffs, patches, waits for and deletes a custom resource', async () => {
      expect(await run('wait --for=condition=Established crd/widgets.example.io')).toContain('condition met')
      expect(await run('apply -f -', widget({ size: 3 }))).toBe('widget.example.io/w1 created')
      expect(await run('apply -f -', widget({ size: 4 }))).toBe('widget.example.io/w1 configured')
      expect(await run('apply -f -', widget({ size: 4 }))).toBe('widget.example.io/w1 unchanged')
      const diff = await fail('diff -f -', widget({ size: 5 }))
      expect(diff).toMatch(/-\s+size: 4\n\+\s+size: 5/)
      expect(await run('get wd')).toMatch(/^NAME +SIZE +PHASE +AGE\nw1 +4 +\S+$/)
      expect(await run('get wd -o wide')).toContain('READY')
      expect(await run('get gadgets -o name')).toBe('widget.example.io/w1')
      expect(await run('explain widget.spec')).toMatch(/color\t<string>\n {2}enum: red, blue\n {4}Its color\./)
      expect(await run('explain run.spec.task')).toContain('What to do.')
      expect(await run('describe wd w1')).toMatch(/Size: +4/)
      expect(await run('patch wd w1 --type=merge -p {"spec":{"size":5}}')).toBe('widget.example.io/w1 patched')
      expect(await run('patch wd w1 --type=json -p [{"op":"replace","path":"/spec/size","value":6}]')).toContain(
        'patched',
      )
      const status = '{"status":{"phase":"Ready"}}'
      expect(await run(`patch wd w1 --subresource=status --type=merge -p ${status}`)).toContain('patched')
      expect(await run('wait wd/w1 --for=jsonpath=.status.phase=Ready --timeout=20s')).toContain('condition met')
      expect(await run('label wd w1 tier=front')).toBe('widget.example.io/w1 labeled')
      expect(await run('annotate wd w1 note=x')).toBe('widget.example.io/w1 annotated')
      expect(await run('get wd -l tier=front -o jsonpath={.items[0].spec.size}')).toBe('6')
      expect(await run('create --dry-run=server -f -', widget({ size: 1 }, 'w2'))).toContain('created (server dry run)')
      expect(await run('replace -f -', widget({ size: 7 }))).toBe('widget.example.io/w1 replaced')
      expect(await run('delete wd w1')).toContain('deleted')
      expect(await run('get wd')).toBe('No resources found in daily namespace.')
    })

    test('is told what is wrong', async () => {
      expect(await fail('apply -f -', widget({ size: 3, sise: 1 }))).toContain(
        'strict decoding error: unknown field "spec.sise"',
      )
      expect(await fail('apply -f -', widget({ size: 30 }))).toContain(
        'The Widget "w1" is invalid: spec.size: Invalid value: 30: spec.size in body should be less than or equal to 10',
      )
      expect(await fail('apply -f -', { ...deployment('1'), spec: { kontainers: [] } })).toContain(
        'unknown field "spec.kontainers"',
      )
      expect(await fail('get wd nothing')).toBe('Error from server (NotFound): widgets.example.io "nothing" not found')
      expect(await fail('create configmap c --from-literal=a=b -n nowhere')).toBe(
        'error: failed to create configmap: namespaces "nowhere" not found',
      )
      const bot = '--as=system:serviceaccount:daily:bot'
      expect(await fail(`get secrets ${bot}`)).toBe(
        'Error from server (Forbidden): secrets is forbidden: User "system:serviceaccount:daily:bot" cannot list resource "secrets" in API group "" in the namespace "daily"',
      )
    })

    test('creates by typed commands, which send protobuf', async () => {
      expect(await run('create secret generic s --from-literal=key=value')).toBe('secret/s created')
      expect(await run('get secret s -o jsonpath={.data.key}')).toBe('dmFsdWU=')
      expect(await run('create configmap c --from-literal=a=b')).toBe('configmap/c created')
      expect(await fail('create configmap c --from-literal=a=b')).toBe(
        'error: failed to create configmap: configmaps "c" already exists',
      )
      expect(await run('create namespace daily-more')).toBe('namespace/daily-more created')
      expect(await run('create serviceaccount bot')).toBe('serviceaccount/bot created')
      expect(await run('create role reader --verb=get,list --resource=pods')).toContain('created')
      expect(await run('create rolebinding reads --role=reader --serviceaccount=daily:bot')).toContain('created')
      expect(await run('get role reader -o jsonpath={.rules}')).toBe(
        '[{"apiGroups":[""],"resources":["pods"],"verbs":["get","list"]}]',
      )
      await expect
        .poll(() => cluster.tryKubectl('-n daily auth can-i list pods --as=system:serviceaccount:daily:bot'), {
          timeout: 20_000,
        })
        .toMatchObject({ stdout: 'yes\n' })
      expect(await run('create configmap d --from-literal=a=b --dry-run=server -o yaml')).toContain('  a: b')
      expect(await run('describe configmap c')).toMatch(/a:\n----\nb/)
      expect(await run('describe secret s')).toContain('key:  5 bytes')
    })

    test('merges built-in kinds strategically', async () => {
      expect(await run('apply -f -', deployment('2'))).toBe('deployment.apps/web created')
      expect(await run('apply -f -', deployment('3', 'two:2'))).toBe('deployment.apps/web configured')
      const read = () =>
        cluster.kubectl([
          ...['-n', 'daily', 'get', 'deploy', 'web', '-o'],
          'jsonpath={.spec.template.spec.containers[*].image} {.spec.template.spec.containers[0].env[*].value}',
        ])
      expect(await read()).toBe('one:1 two:2 1 3')
      expect(await run('set image deploy/web one=one:9')).toBe('deployment.apps/web image updated')
      expect(await run('rollout restart deploy/web')).toBe('deployment.apps/web restarted')
      expect(await run('apply -f -', deployment('3', 'two:2'))).toBe('deployment.apps/web configured')
      expect(await read()).toBe('one:1 two:2 1 3')
      expect(await run('get deploy')).toMatch(/^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +0\/1 /)
      expect(await run('describe deploy web')).toContain('StrategyType:')
    })

    test('creates, edits and replaces what it fetched', async () => {
      const text = await run('get configmap c -o json')
      const object = JSON.parse(text) as { data: Record<string, string> }
      object.data.a = 'c'
      expect(await run('replace -f -', object)).toBe('configmap/c replaced')
      expect(await fail('replace -f -', object)).toContain(
        'Operation cannot be fulfilled on configmaps "c": the object has been modified',
      )
    })

    test('lists and records events', async () => {
      const { metadata } = JSON.parse(await run('get configmap c -o json')) as { metadata: { uid: string } }
      await cluster.make('/api/v1/namespaces/daily/events', {
        metadata: { name: 'c.1' },
        type: 'Normal',
        reason: 'Looked',
        message: 'looked at it',
        lastTimestamp: new Date().toISOString().replace(/\.\d+/, ''),
        involvedObject: { apiVersion: 'v1', kind: 'ConfigMap', name: 'c', namespace: 'daily', uid: metadata.uid },
      })
      expect(await run('get events --field-selector=involvedObject.name=c')).toContain('looked at it')
      expect(await run('events --for configmap/c')).toContain('Looked')
      expect(await run('describe configmap c')).toContain('looked at it')
    })

    test.skipIf(!hasControllers)('waits for what it deletes', async () => {
      expect(await run('delete configmap,secret,deploy,role,rolebinding --all --wait --timeout=60s')).toContain(
        'deleted',
      )
      expect(await run('delete namespace daily-more --timeout=60s')).toContain('deleted')
      expect(await fail('get namespace daily-more')).toContain('(NotFound)')
    })
  })
}
