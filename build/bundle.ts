/**
 * Bundles each program into one file under dist/ and prints the sizes. `node build/bundle.ts [program...]`.
 * One file starts faster than a tree of modules, and an image needs nothing beside it but Node.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { build } from 'esbuild'

const all = readdirSync('programs').filter((name) => existsSync(`programs/${name}/main.ts`))
const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !all.includes(name))
if (unknown.length > 0) {
  console.error(`no such program: ${unknown.join(', ')}; there are ${all.join(', ')}`)
  process.exit(2)
}

mkdirSync('dist', { recursive: true })
for (const program of wanted.length > 0 ? wanted : all) {
  const outfile = `dist/${program}.mjs`
  const result = await build({
    entryPoints: [`programs/${program}/main.ts`],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    minify: true,
    keepNames: true,
    sourcemap: false,
    metafile: true,
    legalComments: 'none',
    logLevel: 'warning',
    banner: {
      js: "import{createRequire as __cr}from'node:module';const require=__cr(import.meta.url);",
    },
    define: { 'process.env.K8SCLAW_BUNDLED': '"1"' },
  })
  writeFileSync(`dist/${program}.meta.json`, JSON.stringify(result.metafile))
  chmodSync(outfile, 0o755)
  console.log(`${program.padEnd(12)} ${(statSync(outfile).size / 1024).toFixed(0).padStart(6)} KiB`)
}
