import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import {
  busUrl,
  httpUrl,
  listen,
  parseEnvironment,
  platformOf,
  platformVariables,
  tlsVariables,
  trustOf,
} from './index.ts'

const schema = z.object({ LISTEN: listen('127.0.0.1:8080'), BUS: busUrl, API: httpUrl.optional() })

describe('an environment', () => {
  it.each([
    [{}, { host: '127.0.0.1', port: 8080 }],
    [{ LISTEN: '[fd00::1]:8082' }, { host: 'fd00::1', port: 8082 }],
    [{ LISTEN: 'localhost:0' }, { host: 'localhost', port: 0 }],
  ])('%j listens on %j', (env, expected) => {
    expect(parseEnvironment(schema, { BUS: 'nats://bus:4222', ...env }).LISTEN).toEqual(expected)
  })

  it.each([
    [{}, 'the environment variable BUS is not set'],
    [
      { BUS: 'http://bus' },
      'the environment variable BUS is not usable: must be a URL that starts with nats:// or tls://',
    ],
    [{ BUS: 'nats://[' }, /^the environment variable BUS is not usable/],
    [{ BUS: 'tls://bus', API: 'ftp://x' }, /^the environment variable API is not usable/],
    [{ BUS: 'tls://bus', LISTEN: 'nowhere' }, 'the environment variable LISTEN is not usable: must be host:port'],
    [{ BUS: 'tls://bus', LISTEN: '::1:80' }, 'the environment variable LISTEN is not usable: must be host:port'],
  ])('%j is refused with the name of the variable', (env, message) => {
    expect(() => parseEnvironment(schema, env)).toThrow(message)
  })

  it.each([
    [{}, {}],
    [{ K8SCLAW_CA_FILE: '/tls/ca.crt' }, { caFile: '/tls/ca.crt' }],
  ])('%j believes %j', (env, expected) => {
    expect(trustOf(parseEnvironment(z.object(tlsVariables), env))).toEqual(expected)
  })

  it('refuses a certificate folder that depends on where the program was started', () => {
    expect(() => parseEnvironment(z.object(tlsVariables), { K8SCLAW_TLS_DIR: 'tls' })).toThrow(/K8SCLAW_TLS_DIR/)
  })

  it('says what the platform is', () => {
    const env = { K8SCLAW_ISOLATION: 'none', K8SCLAW_ALLOW_UNCONFINED: 'true' }
    expect(platformOf(parseEnvironment(z.object(platformVariables), env))).toEqual({
      isolation: 'none',
      allowUnconfined: true,
      images: { agent: 'k8sclaw/agent:dev', sandbox: 'k8sclaw/sandbox:dev' },
    })
  })
})
