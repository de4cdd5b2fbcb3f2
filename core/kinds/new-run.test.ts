import { expect, test } from 'vitest'
import { newRun } from './new-run.ts'

test.each([
  ['sample', 'sample-'],
  ['a'.repeat(63), `${'a'.repeat(50)}-`],
  ['a b', 'run-'],
  ['', 'run-'],
  ['Sample', 'run-'],
  ['-sample', 'run-'],
])(
  'the name of a run of instance %j begins with %j, so that only the instance is refused',
  (instance, generateName) => {
    const { metadata, spec } = newRun('default', { instance, task: 'x' })
    expect(metadata).toEqual({ namespace: 'default', generateName })
    expect(spec.instanceRef).toEqual({ name: instance })
  },
)
