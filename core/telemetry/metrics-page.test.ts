import { globSync, readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { definedMetrics } from './index.ts'

/** Every folder that measures something defines it in a file of this name. */
const files = globSync('{core,programs,localkube}/**/metrics.ts').filter((file) => !file.startsWith('core/telemetry/'))

test('docs/metrics.md lists exactly the metrics there are, with their labels and meaning', async () => {
  for (const file of files) await import(pathToFileURL(file).href)
  const wanted = definedMetrics().map(({ name, type, labels, help }) => {
    const told = labels.map((label) => `\`${label}\``).join(', ')
    return `| \`${name}\` | ${type} | ${told} | ${help} |`
  })
  const listed = readFileSync('docs/metrics.md', 'utf8').match(/^\| `k8sclaw_.*$/gm) ?? []
  expect([...listed].sort()).toEqual(wanted.sort())
})

test('names are those of Prometheus: counters end in _total, durations in _seconds, and no label names a tenant', async () => {
  for (const file of files) await import(pathToFileURL(file).href)
  for (const { name, type, labels } of definedMetrics()) {
    expect(name).toMatch(/^k8sclaw_[a-z_]+$/)
    expect(name.endsWith('_total'), name).toBe(type === 'counter')
    if (type === 'histogram') expect(name).toMatch(/_seconds$/)
    for (const label of labels)
      expect(['namespace', 'instance', 'run', 'uid', 'session', 'user', 'name']).not.toContain(label)
  }
})

test('every metric is named by a test that makes happen what it counts, and reads it', async () => {
  const names = files.flatMap((file) => readFileSync(file, 'utf8').match(/(?<=')k8sclaw_\w+(?=')/g) ?? [])
  const tests = globSync('{core,programs,test}/**/*.test.ts').filter((file) => !file.startsWith('core/telemetry/'))
  const read = tests.map((file) => readFileSync(file, 'utf8')).join()
  expect(names.filter((name) => !read.includes(name))).toEqual([])
})
