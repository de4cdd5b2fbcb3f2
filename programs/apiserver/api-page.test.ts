import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { openApiDocument } from './openapi/document.ts'
import { routesAlone } from './openapi/text.ts'
import { runRequest } from './requests.ts'

const page = readFileSync('docs/api.md', 'utf8')
const firstCells = (heading: string) =>
  [...(page.split(heading)[1]?.split('\n\n')[0] ?? '').matchAll(/^\| (`[^|]+) \|/gm)].flatMap(([, cell]) =>
    [...(cell ?? '').matchAll(/`([^`]+)`/g)].map(([, name]) => name),
  )

const app = routesAlone()
const served = [
  ...new Set(app.routes.filter(({ path }) => !path.endsWith('*')).map(({ method, path }) => `${method} ${path}`)),
]
const webSocket = 'GET /api/v1/namespaces/:ns/runs/:name/stream'
/** What speaks another protocol has its own page. */
const ours = (route: string) => !/^\S+ \/v1\//.test(route)

test('docs/api.md lists exactly the routes that are served', () => {
  expect(firstCells('| request | answer |\n').sort()).toEqual([...served.filter(ours), webSocket].sort())
})

test('openapi.json describes exactly the routes that are served', () => {
  const document = openApiDocument(app) as { paths: Record<string, Record<string, unknown>> }
  const described = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{(.+?)\}/g, ':$1')}`),
  )
  // Of a model the name may hold slashes.
  const paths = served.map((route) => route.replace('{.+}', ''))
  expect(described.sort()).toEqual([...paths, webSocket].sort())
})

test('docs/api.md lists exactly the fields of a request for a run', () => {
  expect(firstCells('| field | meaning |\n').sort()).toEqual(Object.keys(runRequest.shape).sort())
})
