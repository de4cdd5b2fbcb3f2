import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { agentRunSpec, customResourceDefinitions, parseSpec } from './index.ts'

describe('the committed CRDs', () => {
  test('are what the kinds generate', () => {
    const committed = readdirSync('config/crd/bases').sort()
    expect(committed).toEqual([...customResourceDefinitions().keys()].sort())
    for (const [file, definition] of customResourceDefinitions()) {
      expect(parse(readFileSync(`config/crd/bases/${file}`, 'utf8'))).toEqual(definition)
    }
  })
})

describe('parseSpec', () => {
  test('fills in defaults and names the field of the first problem', () => {
    const good = { instanceRef: { name: 'a' }, task: 'say hello' }
    expect(parseSpec(agentRunSpec, good)).toEqual({ ...good, agent: 'default' })
    expect(() => parseSpec(agentRunSpec, { ...good, instanceRef: { name: 'A.b' } })).toThrow('spec.instanceRef.name')
  })
})
