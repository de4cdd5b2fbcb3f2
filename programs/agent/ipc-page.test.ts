import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { answerErrorCodes, limits, taskFile } from '#core/ipc'

const page = readFileSync('docs/ipc.md', 'utf8')
const cells = (section: string) =>
  [...(page.split(`${section}\n`)[1]?.split('\n#')[0] ?? '').matchAll(/^\| (`[^|]+) \|/gm)].flatMap(([, cell]) =>
    [...(cell ?? '').matchAll(/`(\w+)`/g)].map(([, name]) => name),
  )

test('docs/ipc.md lists exactly the fields of task.json', () => {
  expect(cells('### task.json').sort()).toEqual(Object.keys(taskFile.shape).sort())
})

test('docs/ipc.md lists exactly the error codes of answers', () => {
  expect(cells('## Why a call was not performed').sort()).toEqual([...answerErrorCodes].sort())
})

test('docs/ipc.md states the limits as they are', () => {
  expect(page).toContain(`At most ${limits.fileBytes} bytes a file, ${limits.eventLineBytes} bytes an event line`)
  expect(page).toContain(`${limits.callsInFlight} calls in flight`)
  expect(page).toContain(`Output is cut at ${limits.outputBytes} bytes`)
  expect(page).toContain(`newest ${limits.keptAnswers} answers`)
})
