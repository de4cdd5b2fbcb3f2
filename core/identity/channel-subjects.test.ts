import fc from 'fast-check'
import { expect, test } from 'vitest'
import { channelConsumer, channelOfSubject, channelSubjects, hashKey } from './index.ts'

const label = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?$/)
const address = fc.record({ namespace: label, instance: label, channel: label })

test('two channels share no subject and no consumer, and each subject leads back', () => {
  fc.assert(
    fc.property(address, address, (one, other) => {
      const { received, send, health } = channelSubjects(one)
      for (const subject of [received, send, health]) expect(channelOfSubject(subject)).toEqual(one)
      const same = JSON.stringify(one) === JSON.stringify(other)
      expect(channelSubjects(other).sent('x') === channelSubjects(one).sent('x')).toBe(same)
      expect(channelConsumer(other) === channelConsumer(one)).toBe(same)
    }),
  )
})

test('names that would shift subject levels are refused', () => {
  const good = { namespace: 'team', instance: 'helper', channel: 'chat' }
  for (const bad of ['a.b', '*', '>', '', 'A', 'a b', 'a_b', '-a', 'x'.repeat(64)]) {
    for (const level of Object.keys(good)) {
      expect(() => channelSubjects({ ...good, [level]: bad }), `${level} ${bad}`).toThrow(RangeError)
    }
  }
})

test('anything has a key of one level, whatever its id is', () => {
  fc.assert(fc.property(fc.string(), (id) => /^[0-9a-f]{64}$/.test(hashKey(id))))
})
