import { pino } from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ClawInstance, clawInstances } from '#core/kinds'
import { connectKube, type Kube } from '#core/kube'
import { startCluster, type TestCluster } from '../../test/support/cluster.ts'
import { startMetrics, type TestMetrics } from '../../test/support/metrics.ts'
import { webhookApp } from './app.ts'
import { systemNamespace } from './testing.ts'

let metrics: TestMetrics
let cluster: TestCluster
const away = connectKube({ server: 'http://127.0.0.1:9', token: 'none' })
const desk: ClawInstance = {
  ...{ apiVersion: 'k8sclaw.io/v1alpha1', kind: 'ClawInstance', metadata: { name: 'desk', namespace: 'default' } },
  spec: { agents: { default: { model: { provider: 'demo', name: 'demo' }, timeout: '10m' } }, maxConcurrentRuns: 5 },
}
const instance = (spec: object) => ({ ...desk, spec: { ...desk.spec, ...spec } })
beforeAll(async () => {
  metrics = await startMetrics()
  cluster = await startCluster()
  await cluster.admin.create(clawInstances, desk)
})
afterAll(async () => {
  away.close()
  await Promise.all([cluster?.close(), metrics.close()])
})

/** Asks a webhook that looks things up there, as the API server does for a person who may write the kinds. */
async function review(lookups: Kube, path: string, operation: string, object: object, oldObject: object | null = null) {
  const log = pino({ level: 'silent' })
  const platform = { isolation: 'none', allowUnconfined: false, images: { agent: 'a', sandbox: 's' } } as const
  const app = webhookApp({ lookups, platform, systemNamespace, isReady: () => true, log })
  const request = { uid: 'u', operation, namespace: 'default', name: 'desk', userInfo: { username: 'ann' } }
  const answer = await app.request(path, {
    method: 'POST',
    body: JSON.stringify({
      ...{ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' },
      request: { ...request, object, oldObject },
    }),
  })
  expect(answer.status).toBe(200)
}

test('every review is counted by what became of it, and no word of its object with it', async () => {
  const kube = await cluster.as(systemNamespace, 'k8sclaw-webhook')
  const instances = '/validate/clawinstances'
  const run = { instanceRef: { name: 'desk' }, agent: 'default', task: 'go' }
  const runOf = (spec: object) => ({
    ...{ apiVersion: 'k8sclaw.io/v1alpha1', kind: 'AgentRun', metadata: { name: 'r', namespace: 'default' } },
    spec: { ...run, ...spec },
  })
  await review(kube, instances, 'CREATE', desk)
  await review(kube, instances, 'UPDATE', desk, desk)
  await review(kube, instances, 'A-SECRET-WORD', desk)
  await review(kube, instances, 'CREATE', instance({ maxConcurrentRuns: 'many' }))
  // Ann may not use that policy.
  await review(kube, instances, 'CREATE', instance({ policyRef: { name: 'strict' } }))
  await review(away, instances, 'CREATE', instance({ policyRef: { name: 'strict' } }))
  await review(kube, '/mutate/agentruns', 'CREATE', runOf({}))
  await review(kube, '/validate/agentruns', 'CREATE', runOf({ task: 7 }))

  const judged = (what: string) => `{judge="validate",resource="clawinstances",operation="${what}"`
  const runs = 'resource="agentruns",operation="CREATE"'
  expect(await metrics.values('k8sclaw_admission_reviews_total')).toEqual({
    [`${judged('CREATE')},result="allowed"}`]: 1,
    [`${judged('UPDATE')},result="allowed"}`]: 1,
    [`${judged('other')},result="allowed"}`]: 1,
    [`${judged('CREATE')},result="Invalid"}`]: 1,
    [`${judged('CREATE')},result="Forbidden"}`]: 1,
    [`${judged('CREATE')},result="ServiceUnavailable"}`]: 1,
    [`{judge="mutate",${runs},result="allowed"}`]: 1,
    [`{judge="validate",${runs},result="Invalid"}`]: 1,
  })
  expect(await metrics.values('k8sclaw_admission_review_seconds_count')).toEqual({
    '{judge="validate"}': 7,
    '{judge="mutate"}': 1,
  })
})
