/**
 * Bundles each program into one file under dist/ and prints the sizes. `node build/bundle.ts [program...]`.
 * One file starts faster than a tree of modules, and an image needs nothing beside it but Node. The command line alone
 * is split into pieces, so that `--help` does not load what only `runs` needs.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { type BuildOptions, build } from 'esbuild'
import { lazyBuiltins } from './lazy-builtins.ts'
import { leftOut } from './left-out.ts'

/** Programs by name: their entry, and where the bundle goes. */
const entries = new Map(
  readdirSync('programs')
    .filter((name) => existsSync(`programs/${name}/main.ts`))
    .map((name) => [name, `programs/${name}/main.ts`]),
)
for (const type of readdirSync('programs/channels')) {
  const main = `programs/channels/${type}/main.ts`
  if (existsSync(main)) entries.set(`channel-${type}`, main)
}
entries.set('standalone', 'programs/cli/standalone/main.ts')
entries.set('database', 'programs/cli/standalone/database.ts')
entries.set('embedder', 'programs/apiserver/memory/english-worker.ts')

/** What PGlite reads beside its own code: PostgreSQL in WebAssembly, its first files, and the extension. */
const databaseFiles = [
  'pglite/dist/pglite.wasm',
  'pglite/dist/pglite.data',
  'pglite/dist/initdb.wasm',
  'pglite-pgvector/dist/vector.tar.gz',
]

/** What the encoder for English reads beside its own code: folders of node_modules/@energetic-ai and what is wanted of them. */
const embedderFiles = [
  ['core/dist', /\.wasm$/],
  ['model-embeddings-en/dist', /^(model\.json|vocab\.json|group.*)$/],
] as const

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !entries.has(name))
if (unknown.length > 0) {
  console.error(`no such program: ${unknown.join(', ')}; there are ${[...entries.keys()].join(', ')}`)
  process.exit(2)
}

mkdirSync('dist', { recursive: true })
for (const [program, entry] of entries) {
  if (wanted.length > 0 && !wanted.includes(program)) continue
  const bundle = { cli: bundleSplit, database: bundleDatabase, embedder: bundleEmbedder }[program]
  const size = await (bundle ? bundle(entry) : bundleWhole(program, entry))
  console.log(`${program.padEnd(12)} ${(size / 1024).toFixed(0).padStart(6)} KiB`)
}

async function bundleWhole(program: string, entry: string): Promise<number> {
  const outfile = `dist/${program}.mjs`
  const { metafile } = await build({ ...common(), entryPoints: [entry], outfile, metafile: true })
  writeFileSync(`dist/${program}.meta.json`, JSON.stringify(metafile))
  return statSync(outfile).size
}

async function bundleDatabase(entry: string): Promise<number> {
  await build({ ...common(), entryPoints: [entry], outfile: 'dist/database/database.mjs' })
  for (const file of databaseFiles) {
    copyFileSync(join('node_modules/@electric-sql', file), join('dist/database', basename(file)))
  }
  await makeEmptyDatabase()
  return readdirSync('dist/database').reduce((sum, file) => sum + statSync(`dist/database/${file}`).size, 0)
}

/** An empty database to begin with: making one takes PostgreSQL in WebAssembly seconds, unpacking one does not. */
async function makeEmptyDatabase(): Promise<void> {
  const { version } = JSON.parse(readFileSync('node_modules/@electric-sql/pglite/package.json', 'utf8')) as {
    version: string
  }
  const made = join('dist', `empty-database-${version}.tar`)
  if (!existsSync(made)) {
    const { PGlite } = await import('@electric-sql/pglite')
    const fresh = await PGlite.create()
    const files = Buffer.from(await (await fresh.dumpDataDir('none')).arrayBuffer())
    await fresh.close()
    writeFileSync(`${made}.new`, files)
    renameSync(`${made}.new`, made)
  }
  copyFileSync(made, 'dist/database/empty.tar')
}

/** A CommonJS bundle, because its packages find their files by `__dirname`. */
async function bundleEmbedder(entry: string): Promise<number> {
  const { banner: _, ...options } = common()
  await build({ ...options, format: 'cjs', entryPoints: [entry], outfile: 'dist/embedder/worker.cjs' })
  for (const [folder, wanted] of embedderFiles) {
    const from = join('node_modules/@energetic-ai', folder)
    for (const file of readdirSync(from).filter((name) => wanted.test(name)))
      copyFileSync(join(from, file), join('dist/embedder', file))
  }
  return readdirSync('dist/embedder').reduce((sum, file) => sum + statSync(`dist/embedder/${file}`).size, 0)
}

async function bundleSplit(entry: string): Promise<number> {
  rmSync('dist/cli', { recursive: true, force: true })
  await build({
    ...common(),
    entryPoints: [entry],
    outdir: 'dist/cli',
    outExtension: { '.js': '.mjs' },
    splitting: true,
  })
  return readdirSync('dist/cli').reduce((sum, file) => sum + statSync(`dist/cli/${file}`).size, 0)
}

function common(): BuildOptions {
  return {
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    minify: true,
    keepNames: true,
    legalComments: 'none',
    logLevel: 'warning',
    plugins: [lazyBuiltins, leftOut],
    external: ['pg-native'],
    // What a bundle takes of Node it takes by require, which an ES module does not have.
    banner: {
      js: "const require=process.getBuiltinModule('node:module').createRequire(import.meta.url);",
    },
  }
}
