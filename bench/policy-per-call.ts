import { judgeNow } from '#core/policy'
import { type Bench, figure } from './figures.ts'

/** Goal: 0.1 ms. */
const goalMs = 0.1
const calls = 20_000

/** A policy with more rules than anyone writes, of which the last one decides. */
const rules = [
  ...Array.from({ length: 60 }, (_, i) => ({ tool: `*tool_${i}_*`, action: 'allow' as const })),
  { tool: 'read_*', action: 'allow' as const },
  { tool: '*_file', action: 'allow' as const },
]
const effective = {
  policy: { name: 'default-policy', generation: 1 },
  toolGating: { defaultAction: 'deny' as const, rules },
  featureGates: { 'file-access': true },
  toolPolicy: { allow: ['exec', '*_file'] },
}
/** The same as it is now, but for the last rule, so that both are gone through to their ends. */
const inForce = {
  ...effective,
  policy: { name: 'default-policy', generation: 2 },
  toolGating: { ...effective.toolGating, rules: [...rules.slice(0, -1), { tool: '*_file', action: 'deny' as const }] },
}

/** policyPerCall: one verdict about one call, by a policy of 62 rules as it was and as it is; held against the goal. */
export const policyPerCall: Bench = {
  figures: ['policyPerCall'],
  async take() {
    const samples: number[] = []
    for (let i = 0; i < calls * 2; i++) {
      const start = process.hrtime.bigint()
      const { action } = judgeNow(effective, inForce, 'read_file', { sandbox: true })
      const took = Number(process.hrtime.bigint() - start) / 1e6
      if (action !== 'deny') throw new Error('the policy was judged wrong')
      // The first half is what the compiler learns from.
      if (i >= calls) samples.push(took)
    }
    return { policyPerCall: figure('ms', samples, goalMs) }
  },
}
