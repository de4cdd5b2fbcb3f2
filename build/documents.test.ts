/** What the pages name is there: files, headings, variables, metrics, routes, fields. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { pages, quoted } from '../test/support/documents.ts'

const told = pages.flatMap((page) => quoted(page).map((words) => ({ path: page.path, words })))
const allText = pages.map(({ path, text }) => ({ path, words: text }))
const source = [
  '{core,programs,localkube,build,bench,test,examples}/**/*.ts',
  '{config,images,migrations}/**/*',
  'Makefile',
  '.ci/run',
]
  .flatMap((pattern) => globSync(pattern, { withFileTypes: true }))
  .filter((entry) => entry.isFile())
  .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
  .join('\n')

/** Each thing of that form that a page names, and the page. */
function named(from: typeof told, pattern: RegExp): [string, string][] {
  return from.flatMap(({ path, words }) =>
    [...words.matchAll(pattern)].map(([all, one]): [string, string] => [path, one ?? all]),
  )
}

test('every link of a page leads to a file and a heading that are there', () => {
  const broken = pages.flatMap(({ path, text }) =>
    [...text.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].flatMap(([, file = '', heading]) => {
      const target = file === '' ? path : relative('.', join(dirname(path), file))
      if (!existsSync(target)) return [`${path}: ${file}`]
      if (heading === undefined) return []
      return anchors(readFileSync(target, 'utf8')).includes(heading) ? [] : [`${path}: ${file}#${heading}`]
    }),
  )
  expect(broken).toEqual([])
})

test('every file that a page names is there', () => {
  const paths = named(
    told,
    /^(?:node )?((?:core|programs|localkube|config|build|bench|test|examples|migrations|images|docs|bin)\/[\w./-]+)$/g,
  )
  // Written by `make bench`, and by nobody in a fresh clone.
  const made = 'bench/results/latest.json'
  expect(paths.filter(([, file]) => file !== made && !existsSync(file))).toEqual([])
})

test('every environment variable that a page names is read by something', () => {
  const variables = named(allText, /\b((?:K8SCLAW|WHATSAPP|TELEGRAM|SLACK|DISCORD)_[A-Z][A-Z0-9_]*[A-Z0-9])\b/g)
  expect(variables.filter(([, name]) => !source.includes(name))).toEqual([])
})

test('every metric that a page names is in the table of metrics', () => {
  const table = readFileSync('docs/metrics.md', 'utf8').match(/(?<=^\| `)k8sclaw_\w+/gm) ?? []
  const known = new Set(table.flatMap((name) => [name, `${name}_bucket`, `${name}_sum`, `${name}_count`]))
  expect(named(told, /\b(k8sclaw_[a-z_]+)\b/g).filter(([, name]) => !known.has(name))).toEqual([])
})

test('every route that a page names is in the description of the API', () => {
  const { paths } = JSON.parse(readFileSync('docs/openapi.json', 'utf8')) as { paths: Record<string, object> }
  const known = Object.entries(paths).flatMap(([path, methods]) => {
    const pattern = path.replaceAll(/\{[^}]+\}/g, '[^/]+')
    return Object.keys(methods).map((method) => new RegExp(`^${method.toUpperCase()} ${pattern}(\\?.*)?$`))
  })
  const routes = named(told, /^((?:GET|POST|PUT|PATCH|DELETE) \/(?:api|v1)\/\S+)$/g)
  expect(routes.filter(([, route]) => !known.some((pattern) => pattern.test(route)))).toEqual([])
})

test('every field that a page names is in the definition of a kind', () => {
  const known = new Set(
    globSync('config/crd/bases/*.yaml').flatMap((file) => {
      const { spec } = parse(readFileSync(file, 'utf8')) as {
        spec: { versions: { schema: { openAPIV3Schema: Schema } }[] }
      }
      return spec.versions.flatMap(({ schema }) => fields(schema.openAPIV3Schema))
    }),
  )
  const dotted = named(told, /^((?:spec|status)(?:\.[a-zA-Z]+)+)(?:\[\])?$/g)
  // localkube knows none of our kinds; its page speaks of pods.
  expect(dotted.filter(([path, field]) => !path.startsWith('localkube/') && !known.has(field))).toEqual([])
})

interface Schema {
  properties?: Record<string, Schema>
  items?: Schema
  additionalProperties?: Schema | boolean
}

/** Dotted paths, in which neither the items of a list nor the keys of a map have a part. */
function fields({ properties = {}, items, additionalProperties }: Schema): string[] {
  const below = typeof additionalProperties === 'object' ? fields(additionalProperties) : []
  const own = Object.entries(properties).flatMap(([name, schema]) => [
    name,
    ...fields(schema).map((field) => `${name}.${field}`),
  ])
  return [...own, ...below, ...(items ? fields(items) : [])]
}

/** As GitHub makes them of headings. */
function anchors(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  )
}
