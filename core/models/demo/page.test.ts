import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { demoScript, maxScriptLength, parseDemoScript } from './script.ts'

const page = readFileSync('docs/demo-model.md', 'utf8')
const fieldsOf = (head: string) =>
  (page.split(`| \`${head}\` |`)[1]?.split('\n\n')[0] ?? '')
    .split('\n')
    .flatMap((row) => [...(row.split(' | ')[0] ?? '').matchAll(/^\| `(\w+)`/g)].map(([, name]) => name))

test('the script of docs/demo-model.md is one, and the page gives the limits', () => {
  expect(parseDemoScript(page.match(/```yaml\n([\s\S]*?)```/)?.[1] ?? '').steps).toHaveLength(4)
  expect(page).toContain(`at most 256 steps and ${maxScriptLength}\ncharacters`)
})

test('docs/demo-model.md lists exactly the fields of a step', () => {
  const { when, reply } = demoScript.shape.steps.element.shape
  expect(fieldsOf('when').sort()).toEqual(Object.keys(when.unwrap().shape).sort())
  expect(fieldsOf('reply').sort()).toEqual(Object.keys(reply.shape).sort())
})
