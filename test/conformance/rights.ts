import { beforeAll, describe, expect, test } from 'vitest'
import { type PeopleRole, people, programs, type Row, systemNamespace } from '../../build/rbac/table.ts'
import type { Cluster } from './cluster.ts'
import type { Capabilities } from './index.ts'

/** What somebody may ask for. No namespace: all of them, or a kind that has none. */
interface Question {
  namespace: string
  group: string
  resource: string
  verb: string
  name: string
}

const tenant = 'rights'
const verbs = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete', 'deletecollection']
/** Verbs that are asked for beside the usual ones, by the kind they are asked about. */
const special: Record<string, string[]> = {
  'rbac.authorization.k8s.io/clusterroles': ['bind', 'escalate'],
  'rbac.authorization.k8s.io/roles': ['bind', 'escalate'],
  'k8sclaw.io/clawpolicies': ['use'],
  '/serviceaccounts': ['impersonate'],
}
/** Everybody may ask about himself. */
const aboutOneself = /^(selfsubjectaccessreviews|selfsubjectrulesreviews|selfsubjectreviews)$/

/**
 * The table of rights held to a server: each program may what its rows say, and of every kind the server has, each verb
 * besides is refused. The manifests are applied by the suite's `platform`.
 */
export function rights(cluster: Cluster, { hasControllers }: Capabilities): void {
  describe('the rights', () => {
    let questions: Question[] = []
    beforeAll(async () => {
      await cluster.makeNamespace(tenant)
      questions = await everyQuestion(cluster)
    })

    test.each(Object.entries(programs))(
      'of the %s are what its rows say, and no others',
      async (program, rows) => {
        const wanted = questions.filter((question) => rows.some((row) => permits(row, question)))
        expect(await allowed(cluster, account(program), questions)).toEqual(wanted.map(sentence))
        expect(wanted.length).toBeGreaterThanOrEqual(rows.filter(({ scope }) => scope !== 'tenant').length)
      },
      120_000,
    )

    test('of the gateway in a namespace where its role is bound are to get a Secret', async () => {
      await cluster.make(`/apis/rbac.authorization.k8s.io/v1/namespaces/${tenant}/rolebindings`, {
        metadata: { name: 'gateway' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'k8sclaw-provider-reader' },
        subjects: [{ kind: 'ServiceAccount', name: 'k8sclaw-gateway', namespace: systemNamespace }],
      })
      const wanted = questions.filter(
        ({ namespace, group, resource, verb }) =>
          `${verb} ${group}/${resource} in ${namespace}` === `get /secrets in ${tenant}`,
      )
      await expect
        .poll(() => allowed(cluster, account('gateway'), questions), { timeout: 60_000 })
        .toEqual(wanted.map(sentence))
    }, 120_000)

    test.each([
      ['controller', 'GET', '/api/v1/secrets'],
      ['controller', 'GET', `/api/v1/namespaces/${systemNamespace}/secrets/k8sclaw-bus`],
      ['controller', 'POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings'],
      ['controller', 'PATCH', '/apis/rbac.authorization.k8s.io/v1/clusterroles/k8sclaw-provider-reader'],
      ['controller', 'POST', `/api/v1/namespaces/${tenant}/pods`],
      ['controller', 'PUT', `/apis/coordination.k8s.io/v1/namespaces/${systemNamespace}/leases/other`],
      ['apiserver', 'GET', '/apis/k8sclaw.io/v1alpha1/agentruns'],
      ['apiserver', 'GET', '/api/v1/secrets'],
      ['webhook', 'DELETE', `/apis/k8sclaw.io/v1alpha1/namespaces/${tenant}/agentruns/x`],
      ['webhook', 'GET', `/api/v1/namespaces/${systemNamespace}/secrets/k8sclaw-bus`],
      ['webhook', 'PATCH', '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/other'],
      ['gateway', 'GET', `/api/v1/namespaces/${systemNamespace}/secrets/k8sclaw-bus`],
      ['keys', 'GET', `/api/v1/namespaces/${systemNamespace}/secrets/k8sclaw-bus`],
      ['keys', 'POST', `/api/v1/namespaces/${tenant}/secrets`],
    ])('of the %s do not reach to %s %s', async (program, method, path) => {
      const body = method === 'GET' || method === 'DELETE' ? undefined : { metadata: { name: 'x' } }
      const type = method === 'PATCH' ? { 'Content-Type': 'application/merge-patch+json' } : {}
      const headers = { ...type, 'Impersonate-User': account(program) }
      expect((await cluster.send(method, path, body, { headers })).json).toMatchObject({
        code: 403,
        reason: 'Forbidden',
      })
    })

    test('of the controller include the one role that it may hand out, and no other', async () => {
      const bind = (name: string) =>
        cluster.post(
          `/apis/rbac.authorization.k8s.io/v1/namespaces/${tenant}/rolebindings?dryRun=All`,
          {
            metadata: { name: 'handed-out' },
            roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
            subjects: [{ kind: 'ServiceAccount', name: 'k8sclaw-gateway', namespace: systemNamespace }],
          },
          { headers: { 'Impersonate-User': account('controller') } },
        )
      expect((await bind('k8sclaw-provider-reader')).status).toBe(201)
      expect((await bind('view')).status).toBe(403)
    })

    test.skipIf(!hasControllers).each(['view', 'edit', 'admin'] as const)(
      'of people bound to %s cover our kinds as the table says',
      async (role) => {
        await cluster.make(`/apis/rbac.authorization.k8s.io/v1/namespaces/${tenant}/rolebindings`, {
          metadata: { name: role },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
          subjects: [{ kind: 'User', name: `some-${role}` }],
        })
        const ours = questions.filter(({ group, name }) => group === 'k8sclaw.io' && name === '')
        const rows = ladder(role).flatMap((one) => one.rows)
        const wanted = ours.filter(
          (question) =>
            question.namespace === tenant && rows.some((row) => permits({ ...row, scope: 'cluster' }, question)),
        )
        await expect
          .poll(() => allowed(cluster, `some-${role}`, ours), { timeout: 60_000 })
          .toEqual(wanted.map(sentence))
      },
    )
  })
}

const account = (program: string): string => `system:serviceaccount:${systemNamespace}:k8sclaw-${program}`

/** The roles of people that a role of every Kubernetes takes in: edit has what view has, admin what both have. */
function ladder(role: PeopleRole['into']): PeopleRole[] {
  const order = ['view', 'edit', 'admin']
  return people.filter(({ into }) => order.indexOf(into) <= order.indexOf(role))
}

function permits(row: Row, { namespace, group, resource, verb, name }: Question): boolean {
  const isThere = row.scope === 'cluster' || (row.scope === 'system' && namespace === systemNamespace)
  const isNamed = !row.names || row.names.includes(name)
  return isThere && isNamed && row.group === group && row.resources.includes(resource) && row.verbs.includes(verb)
}

function sentence({ namespace, group, resource, verb, name }: Question): string {
  return `${verb} ${group}/${resource}${name && ` named ${name}`}${namespace && ` in ${namespace}`}`
}

/** Every kind that the server knows, with every verb, everywhere, in the system and in a tenant; unnamed and by the names of the table. */
async function everyQuestion(cluster: Cluster): Promise<Question[]> {
  const groups: { group: string; path: string }[] = [{ group: '', path: '/api/v1' }]
  for (const { name, preferredVersion } of (await cluster.get('/apis')).json.groups) {
    groups.push({ group: name, path: `/apis/${preferredVersion.groupVersion}` })
  }
  const kinds: { group: string; name: string; namespaced: boolean }[] = []
  for (const { group, path } of groups) {
    const { json } = await cluster.get(path)
    for (const resource of json.resources) kinds.push({ group, ...resource })
  }
  return kinds
    .filter(({ name }) => !aboutOneself.test(name))
    .flatMap(({ group, name: resource, namespaced }) => {
      const named = Object.values(programs).flatMap((rows) =>
        rows.flatMap((row) => (row.group === group && row.resources.includes(resource) ? (row.names ?? []) : [])),
      )
      const asked = [...verbs, ...(special[`${group}/${resource}`] ?? [])]
      return (namespaced ? ['', systemNamespace, tenant] : ['']).flatMap((namespace) =>
        ['', ...new Set(named)].flatMap((name) => asked.map((verb) => ({ namespace, group, resource, verb, name }))),
      )
    })
}

/** What of it a user may, in sentences. Eight questions at a time. */
async function allowed(cluster: Cluster, user: string, questions: readonly Question[]): Promise<string[]> {
  const groups = user.startsWith('system:serviceaccount:')
    ? ['system:serviceaccounts', `system:serviceaccounts:${systemNamespace}`, 'system:authenticated']
    : ['system:authenticated']
  const answers = new Array<boolean>(questions.length)
  let next = 0
  const ask = async (): Promise<void> => {
    for (let i = next++; i < questions.length; i = next++) {
      const question = questions[i]
      if (!question) return
      const [resource, subresource] = question.resource.split('/')
      const spec = { user, groups, resourceAttributes: { ...question, resource, subresource } }
      const { json } = await cluster.post('/apis/authorization.k8s.io/v1/subjectaccessreviews', { spec })
      answers[i] = json.status.allowed
    }
  }
  await Promise.all(Array.from({ length: 8 }, ask))
  return questions.filter((_, i) => answers[i]).map(sentence)
}
