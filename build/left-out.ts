import type { Plugin } from 'esbuild'

/** Packages of which the bundles use nothing: signatures are made by node:crypto, and logs are written by this thread. */
const unused = /^(@nats-io\/nkeys|thread-stream)$/

/** Nobody's model is named by a text alone, for which `ai` brings a provider of its own. No error is that provider's. */
const noGateway = `
class Absent extends Error { static isInstance() { return false } }
export { Absent as GatewayError, Absent as GatewayAuthenticationError }
export const gateway = undefined
export function createGateway() { throw new Error('this provider is not part of this bundle') }
`

/** Of grammy the channel uses its client alone. Whatever else is imported of it does not build. */
const clientOfTelegram = `
export { Api } from './core/api.js'
export { GrammyError, HttpError } from './core/error.js'
export { InputFile } from './types.js'
`

/**
 * What the bundles leave out. Of @kubernetes/client-node they use what reads a kubeconfig and authenticates requests of
 * node:https (core/kube); its generated clients and the HTTP client of those are a megabyte to load. The client of the
 * bus brings signatures in JavaScript, and the logger a thread to write in, which are 8 ms of every start. A third of the
 * agent's bundle would be a provider that it never uses, and the errors of zod in fifty languages. The client of Telegram
 * brings the whole of Unicode's rules for names of hosts, 5 MB of memory, for versions of Node that have no URL of their own.
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
    build.onResolve({ filter: unused }, ({ path }) => ({ path, namespace: 'unused' }))
    build.onResolve({ filter: /^@ai-sdk\/gateway$/ }, ({ path }) => ({ path, namespace: 'no-gateway' }))
    build.onLoad({ filter: /.*/, namespace: 'unused' }, () => ({ contents: 'module.exports = class {}' }))
    build.onLoad({ filter: /.*/, namespace: 'no-gateway' }, () => ({ contents: noGateway }))
    build.onLoad({ filter: /\/zod\/v4\/locales\/index\.js$/ }, () => ({
      contents: `export { default as en } from './en.js'`,
    }))
    build.onLoad({ filter: /\/whatwg-url\/lib\/public-api\.js$/ }, () => ({ contents: 'exports.URL = URL' }))
    build.onLoad({ filter: /\/grammy\/out\/mod\.js$/ }, () => ({ contents: clientOfTelegram }))
    build.onLoad({ filter: /.*/, namespace: 'left-out' }, ({ path }) => ({
      contents: (names[path] ?? [])
        .map((name) => `export function ${name}() { throw new Error('${name} is not part of this bundle') }`)
        .join('\n'),
    }))
  },
}
