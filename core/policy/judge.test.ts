import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { featureGates } from '#core/kinds'
import { gateOf, judge, needsSandbox, offeredTools } from './index.ts'
import type { Judged } from './judge.ts'

const tools = ['exec', 'read_file', 'write_file', 'edit_file', 'list_files', 'search_files', 'other']

const judged = (changes: Partial<Judged> = {}): Judged => ({
  policy: { name: 'team', generation: 3 },
  toolGating: { defaultAction: 'allow', rules: [] },
  featureGates: { 'code-execution': true, 'file-access': true },
  ...changes,
})

describe('the truth table of docs/policy.md', () => {
  const answers = {
    gate: ['on', 'off'],
    sandbox: ['yes', 'no'],
    runDenies: ['yes', 'no'],
    allowList: ['absent', 'with it', 'without it'],
    rules: ['none', 'allow', 'deny', 'deny and allow'],
    defaultAction: ['allow', 'deny'],
    above: ['none', 'allow', 'deny'],
  } as const
  const table = (readFileSync('docs/policy.md', 'utf8').split('<!-- truth-table -->')[1] ?? '')
    .split('<!-- /truth-table -->')[0]
    ?.trim()
    .split('\n')
    .slice(2)
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )

  const allowing = { policy: { name: 'p', generation: 1 }, toolGating: { defaultAction: 'allow' as const, rules: [] } }
  // Of the runs above, any one that denies is enough, whichever of its parts does.
  const aboves = {
    none: [],
    allow: [allowing, allowing],
    deny: [allowing, { ...allowing, toolPolicy: { deny: ['exec'] } }],
  }
  const combinations = Object.values(answers).reduce<string[][]>(
    (rows, column) => rows.flatMap((row) => column.map((answer) => [...row, answer])),
    [[]],
  )

  test.each(combinations)(
    'gate %s, sandbox %s, run denies %s, allow list %s, rules %s, default %s, runs above %s',
    (...answer) => {
      const [gate, sandbox, runDenies, allowList, rules, defaultAction, above] = answer
      const row = table?.find((cells) => answer.every((a, i) => cells[i] === '-' || cells[i] === a))
      const effective = judged({
        featureGates: gate === 'on' ? { 'code-execution': true } : {},
        toolPolicy: {
          ...(runDenies === 'yes' && { deny: ['ex*'] }),
          ...(allowList === 'with it' && { allow: ['*ec'] }),
          ...(allowList === 'without it' && { allow: ['read_*'] }),
        },
        toolGating: {
          defaultAction: defaultAction === 'allow' ? 'allow' : 'deny',
          rules: [
            { tool: 'read_file', action: 'deny' as const },
            ...(rules?.includes('allow') ? [{ tool: 'exec', action: 'allow' as const }] : []),
            ...(rules?.includes('deny') ? [{ tool: 'e*', action: 'deny' as const }] : []),
          ],
        },
      })
      const within = aboves[above as keyof typeof aboves]
      expect(judge({ ...effective, within }, 'exec', { sandbox: sandbox === 'yes' }).action).toBe(row?.[7])
    },
  )
})

describe('a verdict says which rule decided', () => {
  const facts = { sandbox: true }
  test.each([
    [judged({ featureGates: {} }), 'exec', facts, 'feature gate code-execution is off in policy team'],
    [judged(), 'exec', { sandbox: false }, 'this run has no sandbox'],
    [judged({ toolPolicy: { deny: ['e*'] } }), 'exec', facts, "the run's toolPolicy denies e*"],
    [judged({ toolPolicy: { allow: ['read_*'] } }), 'exec', facts, "the run's toolPolicy does not allow it"],
    [
      judged({
        toolGating: {
          defaultAction: 'allow',
          rules: [
            { tool: 'exec', action: 'allow' },
            { tool: 'ex*', action: 'deny' },
          ],
        },
      }),
      'exec',
      facts,
      'rule deny ex* of policy team',
    ],
    [judged(), 'exec', facts, 'default action of policy team'],
    [
      judged({ policy: { name: '', generation: 0 }, toolGating: { defaultAction: 'deny', rules: [] } }),
      'exec',
      facts,
      'default action of the built-in restricted policy',
    ],
    [
      judged({ within: [{ ...judged(), policy: { name: 'above', generation: 1 }, toolPolicy: { allow: [] } }] }),
      'exec',
      facts,
      "a run above this one may not: the run's toolPolicy does not allow it",
    ],
    [
      judged({ within: [judged()], featureGates: {} }),
      'exec',
      facts,
      'feature gate code-execution is off in policy team or above this run',
    ],
  ])('%#: %j %s', (effective, tool, given, reason) => {
    expect(judge(effective, tool, given).reason).toBe(reason)
  })
})

describe('properties', () => {
  const glob = fc.constantFrom('*', ...tools, '*_file', 'e*', '*s', 'read_*')
  const action = fc.constantFrom('allow' as const, 'deny' as const)
  const rules = fc.array(fc.record({ tool: glob, action }), { maxLength: 4 })
  const gates = fc.record({ 'code-execution': fc.boolean(), 'file-access': fc.boolean() }, { requiredKeys: [] })
  const toolPolicy = fc.record({ allow: fc.array(glob), deny: fc.array(glob) }, { requiredKeys: [] })
  const effective = fc.record(
    {
      policy: fc.constant({ name: 'p', generation: 1 }),
      toolGating: fc.record({ defaultAction: action, rules }),
      featureGates: gates,
      toolPolicy,
    },
    { requiredKeys: ['policy', 'toolGating', 'featureGates'] },
  ) as fc.Arbitrary<Judged>
  const facts = fc.record({ sandbox: fc.boolean() })
  const allowed = (e: Judged, f: { sandbox: boolean }) => new Set(offeredTools(e, tools, f))

  test('another deny rule never allows more', () => {
    fc.assert(
      fc.property(effective, glob, fc.nat(4), facts, (e, tool, at, f) => {
        const changed = e.toolGating.rules.toSpliced(at, 0, { tool, action: 'deny' })
        const after = allowed({ ...e, toolGating: { ...e.toolGating, rules: changed } }, f)
        expect(after.isSubsetOf(allowed(e, f))).toBe(true)
      }),
    )
  })

  test("a run's toolPolicy never widens, whatever it says", () => {
    fc.assert(
      fc.property(effective, toolPolicy, facts, (e, narrower, f) => {
        const { toolPolicy: _, ...without } = e
        expect(allowed({ ...without, toolPolicy: narrower } as Judged, f).isSubsetOf(allowed(without, f))).toBe(true)
      }),
    )
  })

  test('the bounds of a run above never allow more', () => {
    fc.assert(
      fc.property(effective, effective, facts, (e, above, f) => {
        const below = allowed({ ...e, within: [above] }, f)
        expect(below.isSubsetOf(allowed(e, f))).toBe(true)
        expect(
          below.isSubsetOf(allowed({ ...above, featureGates: { 'code-execution': true, 'file-access': true } }, f)),
        ).toBe(true)
      }),
    )
  })

  test('an absent gate denies each of its tools, whatever the rules say', () => {
    fc.assert(
      fc.property(effective, fc.constantFrom(...featureGates), facts, (e, gate, f) => {
        const without = { ...e, featureGates: { ...e.featureGates, [gate]: undefined } } as unknown as Judged
        for (const tool of tools.filter((t) => gateOf(t) === gate)) {
          expect(judge(without, tool, f).action).toBe('deny')
        }
      }),
    )
  })

  test('the order of the rules has no meaning', () => {
    fc.assert(
      fc.property(effective, facts, (e, f) => {
        const reversed = { ...e, toolGating: { ...e.toolGating, rules: e.toolGating.rules.toReversed() } }
        expect(allowed(reversed, f)).toEqual(allowed(e, f))
      }),
    )
  })

  test('without a sandbox no tool that needs one is offered', () => {
    fc.assert(
      fc.property(effective, (e) => {
        expect(offeredTools(e, tools, { sandbox: false }).some(needsSandbox)).toBe(false)
      }),
    )
  })
})
