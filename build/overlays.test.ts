import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse, parseAllDocuments, stringify } from 'yaml'
import { kubectl } from './kubectl.ts'

// biome-ignore lint/suspicious/noExplicitAny: manifests are read as the YAML that kustomize printed.
type Yaml = any

const config = resolve(import.meta.dirname, '..', 'config')
let folder = ''
beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'k8sclaw-overlay-')))
})
afterAll(() => rmSync(folder, { recursive: true }))

function render(overlay: Record<string, unknown>): Yaml[] {
  writeFileSync(join(folder, 'kustomization.yaml'), stringify(overlay))
  const text = execFileSync(kubectl(), ['kustomize', folder], { encoding: 'utf8' })
  return parseAllDocuments(text).map((document) => document.toJS())
}

const path = (name: string): string => relative(folder, join(config, name))
const deployments = (all: Yaml[]): Yaml[] => all.filter(({ kind }) => kind === 'Deployment')

test('an overlay of somebody else can take the bus away, and then nobody speaks to the one that was there', () => {
  const all = render({ resources: [path('default')], components: [path('external-bus')] })
  expect(all.filter(({ kind, metadata }) => metadata.name === 'k8sclaw-nats' && kind !== 'NetworkPolicy')).toEqual([])
  const variables = deployments(all).flatMap(({ spec }) => spec.template.spec.containers[0].env)
  const bus = variables.filter(({ name }) => name === 'EVENT_BUS_URL')
  expect(bus.length).toBe(3)
  for (const { value, valueFrom } of bus) {
    expect([value, valueFrom.secretKeyRef]).toEqual([undefined, { name: 'k8sclaw-external-bus', key: 'url' }])
  }
})

test('the overlays of the documentation do what it says', () => {
  const page = readFileSync(join(config, '..', 'docs', 'install.md'), 'utf8')
  const [own, bus] = [...page.matchAll(/^```yaml\n(.*?)^```/gms)].map(([, text = '']) =>
    render(parse(text.replaceAll('../../config/', `${path('')}/`))),
  )
  const gateway = deployments(own ?? []).find(({ metadata }) => metadata.name === 'k8sclaw-gateway')
  expect(gateway.spec.replicas).toBe(4)
  const accounts = own?.filter(({ kind }) => kind === 'ServiceAccount') ?? []
  expect(accounts.length).toBe(5)
  for (const account of accounts) expect(account.imagePullSecrets).toEqual([{ name: 'registry' }])
  const clients = bus?.find(({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.name === 'k8sclaw-bus-clients')
  expect(clients.spec.egress.at(-1).to).toEqual([{ ipBlock: { cidr: '10.20.0.0/24' } }])
})

test('a database of the platform is asked for by the API server alone, over TLS, and waited for', () => {
  const all = render({ resources: [path('default')], components: [path('postgres')] })
  const named = (kind: string, name: string) => all.find((one) => one.kind === kind && one.metadata.name === name)
  const variable = named('Deployment', 'k8sclaw-apiserver').spec.template.spec.containers[0].env.find(
    ({ name }: Yaml) => name === 'DATABASE_URL',
  )
  expect(variable.valueFrom).toEqual({ secretKeyRef: { name: 'k8sclaw-database', key: 'url', optional: false } })
  const { args } = named('Job', 'k8sclaw-keys').spec.template.spec.containers[0]
  expect(args).toEqual(['mint-keys', '--tls', '--database'])
  const labels = { matchLabels: { 'app.kubernetes.io/name': 'k8sclaw-apiserver' } }
  expect(named('NetworkPolicy', 'k8sclaw-database').spec.ingress[0].from).toEqual([{ podSelector: labels }])
  const { securityContext, containers } = named('StatefulSet', 'k8sclaw-database').spec.template.spec
  expect(securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
  expect(containers[0].args).toContain('ssl=on')
})

test('the overlay for a database elsewhere lets the API server out to it', () => {
  const page = readFileSync(join(config, '..', 'docs', 'sessions.md'), 'utf8')
  const [, elsewhere] = [...page.matchAll(/^```yaml\n(resources:.*?)^```/gms)].map(([, text = '']) => {
    writeFileSync(join(folder, 'database-egress.yaml'), text.split('---\n')[1] ?? '')
    return render(parse(text.split('---\n')[0]?.replaceAll('../../config/', `${path('')}/`) ?? ''))
  })
  const egress = elsewhere?.find(({ metadata }) => metadata.name === 'k8sclaw-database-elsewhere')
  expect(egress.spec.egress[0].to).toEqual([{ ipBlock: { cidr: '10.30.0.0/24' } }])
})

test('in a cluster every program is restricted, asked for its health, bounded, and there twice but for the bus', () => {
  const all = render({ resources: [path('default')] })
  expect(deployments(all).map(({ metadata }) => metadata.name)).toEqual(
    ['apiserver', 'controller', 'gateway', 'nats', 'webhook'].map((name) => `k8sclaw-${name}`),
  )
  for (const { metadata, spec } of deployments(all)) {
    const isBus = metadata.name === 'k8sclaw-nats'
    const { containers, securityContext, automountServiceAccountToken, serviceAccountName } = spec.template.spec
    expect(spec.replicas).toBe(isBus ? 1 : 2)
    expect(securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
    expect(serviceAccountName ?? automountServiceAccountToken).toBe(isBus ? false : metadata.name)
    for (const container of containers) {
      expect(container.readinessProbe).toBeDefined()
      expect(container.resources).toMatchObject({
        requests: { cpu: expect.any(String) },
        limits: { memory: expect.any(String) },
      })
      expect(container.securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      })
    }
    const budget = all.find((one) => one.kind === 'PodDisruptionBudget' && one.metadata.name === metadata.name)
    expect(budget?.spec).toEqual(isBus ? undefined : { maxUnavailable: 1, selector: spec.selector })
  }
})
