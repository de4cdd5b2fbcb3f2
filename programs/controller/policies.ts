import { type ClawPolicy, clawPolicies, withCondition } from '#core/kinds'
import type { Informer, Kube, ReconcileResult } from '#core/kube'

/** Says of a ClawPolicy which version of it binds new runs: the present one, as soon as this status shows it. */
export async function reconcilePolicy(
  kube: Kube,
  policies: Informer<ClawPolicy>,
  key: string,
): Promise<ReconcileResult> {
  const policy = policies.get(key)
  if (!policy || policy.metadata.deletionTimestamp) return
  const { generation } = policy.metadata
  if (generation === undefined || policy.status?.observedGeneration === generation) return
  const condition = { type: 'Accepted', status: 'True', reason: 'Accepted', message: '' } as const
  const conditions = withCondition(
    policy.status?.conditions,
    { ...condition, observedGeneration: generation },
    new Date(),
  )
  await kube.patch(clawPolicies, policy.metadata, { status: { conditions, observedGeneration: generation } }, 'status')
}
