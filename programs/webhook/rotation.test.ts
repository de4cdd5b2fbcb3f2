import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { issueCertificate } from './certificate.ts'
import { bundleOf, type Held, nextStep, type Situation } from './rotation.ts'

const pace = { settleMs: 10_000, overlapMs: 3_600_000 }
const names = ['a.svc', 'b.svc']
const now = new Date('2026-05-01T12:00:00Z')
const later = (ms: number) => new Date(now.getTime() + ms)
const day = 86_400_000
const [first, second, other] = await Promise.all([
  issueCertificate(names, now),
  issueCertificate(names, later(310 * day)),
  issueCertificate(['c.svc', '10.0.0.1'], now),
])
const broken = { authority: first.authority, chain: first.chain, key: 'none' }
const held = (more: Partial<Held> = {}): Held => ({ current: first, previous: [], servedSince: now, ...more })
const at = (situation: Partial<Situation>): Situation => ({
  held: undefined,
  served: undefined,
  names,
  nextTrustedSince: undefined,
  now,
  ...situation,
})

describe('what is done next', () => {
  test.each<[string, string, Partial<Situation>]>([
    ['start', 'where there is none', {}],
    ['start', 'where what is held is broken, and nothing else is served', { held: held({ current: broken }) }],
    ['start', 'where it has expired', { held: held(), now: later(366 * day) }],
    ['announce', 'where the Secret was deleted, and one is served', { served: first }],
    ['announce', 'where the Secret was broken, and one is served', { served: first, held: held({ current: broken }) }],
    ['rest', 'where all is well', { held: held(), served: first }],
    ['announce', 'well before it expires', { held: held(), now: later(310 * day) }],
    ['announce', 'where a name is missing', { held: held(), names: [...names, 'c.svc'] }],
    ['rest', 'while nobody trusts the next', { held: held({ next: second }), now: later(310 * day) }],
    [
      'rest',
      'while the trust in the next is young',
      { held: held({ next: second }), nextTrustedSince: later(310 * day), now: later(310 * day + 9_000) },
    ],
    [
      'serve',
      'once the trust in the next has settled',
      { held: held({ next: second }), nextTrustedSince: later(310 * day), now: later(310 * day + 10_000) },
    ],
    ['serve', 'where only the next is good', { held: held({ next: second }), now: later(366 * day) }],
    ['announce', 'where the next is broken', { held: held({ next: broken }), now: later(310 * day) }],
    [
      'rest',
      'while the one before may be served',
      { held: held({ previous: [other.authority] }), now: later(3_599_000) },
    ],
    ['forget', 'once it cannot', { held: held({ previous: [other.authority] }), now: later(3_600_000) }],
  ])('%s, %s', (step, _, situation) => {
    expect(nextStep(at(situation), pace).step).toBe(step)
  })

  test('a certificate that lacks names is followed by one for those of all', () => {
    expect(nextStep(at({ held: held({ current: other }) }), pace)).toMatchObject({
      step: 'announce',
      names: ['a.svc', 'b.svc', 'c.svc', '10.0.0.1'],
    })
  })

  test('a deleted Secret is made again around what is served', () => {
    expect(nextStep(at({ served: first }), pace)).toMatchObject({ step: 'announce', current: first })
  })
})

test('what is to be trusted is what is served, what will be, and what may still be, each once', () => {
  const bundle = bundleOf(held({ next: second, previous: [other.authority, first.authority] }))
  expect(bundle).toBe(first.authority + second.authority + other.authority)
})

test('whatever replicas see and however time passes, nothing is served that was not trusted for a while', () => {
  const moves = fc.array(fc.record({ waitMs: fc.integer({ min: 0, max: 40 * day }), trusts: fc.boolean() }), {
    maxLength: 60,
  })
  fc.assert(
    fc.property(moves, (all) => {
      let time = now
      let state = held()
      let trustedSince: Date | undefined
      for (const { waitMs, trusts } of all) {
        time = new Date(Math.min(time.getTime() + waitMs, later(364 * day).getTime()))
        trustedSince = trusts ? (trustedSince ?? time) : undefined
        const step = nextStep(
          at({ held: state, served: state.current, nextTrustedSince: trustedSince, now: time }),
          pace,
        )
        if (step.step === 'announce') state = { ...state, next: second }
        if (step.step === 'serve') {
          expect(trustedSince && time.getTime() - trustedSince.getTime()).toBeGreaterThanOrEqual(pace.settleMs)
          state = { current: second, previous: [state.current.authority], servedSince: time }
        }
        if (step.step === 'forget') {
          expect(time.getTime() - state.servedSince.getTime()).toBeGreaterThanOrEqual(pace.overlapMs)
          state = { ...state, previous: [] }
        }
        expect(step.step).not.toBe('start')
      }
    }),
    { numRuns: 200 },
  )
})
