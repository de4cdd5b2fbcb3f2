import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ClawPolicy, clawPolicySpec, parseSpec } from '#core/kinds'
import { compilePolicy, judge, judgeModelNow, judgeNow, type PolicyInForce, readPolicyInForce } from './index.ts'

const policy = (spec: object, generation = 1): ClawPolicy => ({
  apiVersion: 'k8sclaw.io/v1alpha1',
  kind: 'ClawPolicy',
  metadata: { name: 'team', namespace: 'red', generation },
  spec: parseSpec(clawPolicySpec, spec),
})
/** As it comes back from the bus. */
const inForce = (spec: object, generation?: number) =>
  readPolicyInForce(JSON.parse(JSON.stringify(compilePolicy(policy(spec, generation))))) as PolicyInForce
const open = {
  toolGating: { defaultAction: 'allow' },
  featureGates: { 'code-execution': true, 'file-access': true },
} as const
const facts = { sandbox: true }

describe('a call of a run under way', () => {
  const started = inForce(open)
  test.each([
    ['nothing is known of the policy', undefined, 'allow', 'default action of policy team'],
    ['the policy reads as it did', inForce(open), 'allow', 'default action of policy team'],
    [
      'a rule was added',
      inForce({ ...open, toolGating: { defaultAction: 'allow', rules: [{ tool: 'ex*', action: 'deny' }] } }, 2),
      'deny',
      'rule deny ex* of policy team, as it is now',
    ],
    [
      'a gate was closed',
      inForce({ ...open, featureGates: {} }, 2),
      'deny',
      'feature gate code-execution is off in policy team, as it is now',
    ],
    [
      'the policy was deleted',
      readPolicyInForce(null),
      'deny',
      'feature gate code-execution is off in the built-in restricted policy, as it is now',
    ],
    [
      'another version wrote what this one cannot read',
      readPolicyInForce({ rules: 'of the future' }),
      'deny',
      'feature gate code-execution is off in the built-in restricted policy, as it is now',
    ],
  ])('where %s', (_, now, action, reason) => {
    expect(judgeNow(started, now, 'exec', facts)).toEqual({ action, reason })
  })

  test('is never allowed by an edit that its start did not allow', () => {
    expect(judgeNow(inForce({}), inForce(open, 2), 'exec', facts)).toMatchObject({
      action: 'deny',
      reason: 'feature gate code-execution is off in policy team',
    })
  })

  test('is allowed exactly where both allow it', () => {
    const action = fc.constantFrom('allow', 'deny')
    const rule = fc.record({ tool: fc.constantFrom('exec', 'e*', 'read_file', '*'), action })
    const spec = fc.record({
      toolGating: fc.record({ defaultAction: action, rules: fc.array(rule, { maxLength: 3 }) }),
      featureGates: fc.record({ 'code-execution': fc.boolean(), 'file-access': fc.boolean() }),
    })
    fc.assert(
      fc.property(spec, spec, fc.constantFrom('exec', 'read_file', 'other'), (then, now, tool) => {
        const both = [inForce(then), inForce(now)].every((one) => judge(one, tool, facts).action === 'allow')
        expect(judgeNow(inForce(then), inForce(now), tool, facts).action).toBe(both ? 'allow' : 'deny')
      }),
    )
  })
})

describe('a model of a run under way', () => {
  const model = { provider: 'openai', name: 'gpt-small' }
  const url = 'https://api.openai.com/v1'
  const models = (modelPolicy: object) => inForce({ modelPolicy }, 2)
  test.each([
    ['nothing is known', {}, undefined, url, 'allow', 'what the run was started under'],
    ['the policy says nothing of models', {}, inForce({}), url, 'allow', 'policy team'],
    [
      'a deleted policy leaves models alone',
      {},
      readPolicyInForce(null),
      url,
      'allow',
      'the built-in restricted policy',
    ],
    ['it is on the list', {}, models({ allowed: ['openai/*'], baseURLs: [url] }), url, 'allow', 'policy team'],
    [
      'it is no longer on the list',
      {},
      models({ allowed: ['openai/gpt-large'] }),
      url,
      'deny',
      'policy team, as it is now, does not allow the model openai/gpt-small',
    ],
    [
      'its address is no longer on the list',
      {},
      models({ baseURLs: ['https://proxy.example/v1'] }),
      url,
      'deny',
      'policy team, as it is now, does not allow the provider at https://api.openai.com',
    ],
    [
      'its address was never on the list, whatever the policy says now',
      { baseURLs: ['https://proxy.example/v1'] },
      models({}),
      url,
      'deny',
      'the policy of this run does not allow the provider at https://api.openai.com',
    ],
    ['it has no address', { baseURLs: [] }, models({ baseURLs: [] }), undefined, 'allow', 'policy team'],
  ])('where %s', (_, started, now, at, action, reason) => {
    expect(judgeModelNow(started, now, model, at)).toEqual({ action, reason })
  })
})
