import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BuildOptions, build } from 'esbuild'
import { expect, test } from 'vitest'
import { lazyBuiltins } from './lazy-builtins.ts'

const program = `
import { createServer } from 'node:http'
import * as path from 'path'
const { text } = await import('node:stream/consumers')
const undici = process.moduleLoadList.some((name) => name.includes('undici'))
console.log(JSON.stringify({ kinds: [createServer, path.join, text].map((value) => typeof value), undici }))
`

test('a bundle has the modules of Node that it imports, and loads nothing that they only offer', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'k8sclaw-build-'))
  try {
    const [entry, outfile] = [join(folder, 'main.ts'), join(folder, 'main.mjs')]
    writeFileSync(entry, program)
    const banner = { js: "const require=process.getBuiltinModule('node:module').createRequire(import.meta.url);" }
    const options: BuildOptions = { bundle: true, platform: 'node', format: 'esm', plugins: [lazyBuiltins], banner }
    await build({ ...options, entryPoints: [entry], outfile })
    const said = JSON.parse(execFileSync(process.execPath, [outfile], { encoding: 'utf8' }))
    expect(said).toEqual({ kinds: ['function', 'function', 'function'], undici: false })
  } finally {
    rmSync(folder, { recursive: true })
  }
})
