import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { createLogger } from '#core/telemetry'
import { type AppOptions, apiApp } from './app.ts'
import { runRequest } from './requests.ts'

const page = readFileSync('docs/api.md', 'utf8')
const firstCells = (heading: string) =>
  [...(page.split(heading)[1]?.split('\n\n')[0] ?? '').matchAll(/^\| (`[^|]+) \|/gm)].flatMap(([, cell]) =>
    [...(cell ?? '').matchAll(/`([^`]+)`/g)].map(([, name]) => name),
  )

test('docs/api.md lists exactly the routes that are served', () => {
  // Nothing is asked: only the list of routes is read.
  const unused = undefined as unknown as Pick<AppOptions, 'kube' | 'streams'>
  const { routes } = apiApp({ ...unused, ready: () => true, log: createLogger('test') } as AppOptions)
  const served = routes.filter(({ path }) => path !== '/*').map(({ method, path }) => `${method} ${path}`)
  const webSocket = 'GET /api/v1/namespaces/:ns/runs/:name/stream'
  expect(firstCells('| request | answer |\n').sort()).toEqual([...new Set([...served, webSocket])].sort())
})

test('docs/api.md lists exactly the fields of a request for a run', () => {
  expect(firstCells('| field | meaning |\n').sort()).toEqual(Object.keys(runRequest.shape).sort())
})
