import { builtinModules } from 'node:module'
import type { Plugin } from 'esbuild'

/**
 * Takes Node's own modules by `require` in a bundle that is an ES module. An `import` of one reads all its exports, the
 * lazy ones too: that of node:http alone loads undici, which is 13 MB and 25 ms in every process.
 */
export const lazyBuiltins: Plugin = {
  name: 'lazy-builtins',
  setup(build) {
    const names = new Set(builtinModules)
    const isBuiltin = (path: string) => names.has(path.replace(/^node:/, '')) || path.startsWith('node:')
    build.onResolve({ filter: /^(node:)?[a-z_/]+$/ }, ({ path, kind }) => {
      if (!isBuiltin(path)) return undefined
      if (kind !== 'import-statement') return { path, external: true }
      return { path: `node:${path.replace(/^node:/, '')}`, namespace: 'builtin', sideEffects: false }
    })
    build.onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = require(${JSON.stringify(path)})`,
    }))
  },
}
