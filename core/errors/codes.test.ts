import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { errorCodes } from './index.ts'

test('docs/errors.md lists exactly the codes of the registry, with their status and meaning', () => {
  const rows = readFileSync('docs/errors.md', 'utf8').match(/^\| `.*$/gm) ?? []
  const wanted = Object.entries(errorCodes).map(
    ([code, { status, retryable, meaning }]) =>
      `| \`${code}\` | ${status} | ${retryable ? 'yes' : 'no'} | ${meaning} |`,
  )
  expect(rows).toEqual(wanted)
})
