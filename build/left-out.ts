import type { Plugin } from 'esbuild'

/**
 * What the bundles leave out of @kubernetes/client-node. Of it they use what reads a kubeconfig and authenticates
 * requests of node:https (core/kube); its generated clients and the HTTP client of those are a megabyte to load.
 */
export const leftOut: Plugin = {
  name: 'left-out',
  setup(build) {
    const names: Record<string, string[]> = {
      undici: ['Agent', 'ProxyAgent'],
      './gen/index.js': ['createConfiguration', 'ServerConfiguration'],
    }
    build.onResolve({ filter: /^(undici|\.\/gen\/index\.js)$/ }, ({ path, importer }) =>
      importer.endsWith('/@kubernetes/client-node/dist/config.js') ? { path, namespace: 'left-out' } : undefined,
    )
    build.onLoad({ filter: /.*/, namespace: 'left-out' }, ({ path }) => ({
      contents: (names[path] ?? [])
        .map((name) => `export function ${name}() { throw new Error('${name} is not part of this bundle') }`)
        .join('\n'),
    }))
  },
}
