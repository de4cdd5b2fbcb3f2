import { describe, expect, it } from 'vitest'
import { managerConfig } from './config.ts'

const env = {
  K8SCLAW_BUS_KEYS_DIR: '/keys',
  EVENT_BUS_URL: 'nats://bus:4222',
  K8SCLAW_ISOLATION: 'none',
}

describe('managerConfig', () => {
  it('reads what the manifest gives', () => {
    expect(
      managerConfig({ ...env, K8SCLAW_LISTEN: '127.77.0.5:8082', K8SCLAW_ALLOW_UNCONFINED: 'true' }),
    ).toMatchObject({
      host: '127.77.0.5',
      port: 8082,
      systemNamespace: 'k8sclaw-system',
      platform: { isolation: 'none', allowUnconfined: true, images: { agent: 'k8sclaw/agent:dev' } },
      settings: { busUrl: 'nats://bus:4222', bridgeImage: 'k8sclaw/bridge:dev' },
    })
    expect(managerConfig({ ...env, K8SCLAW_LISTEN: '[fd00::1]:8082' })).toMatchObject({ host: 'fd00::1', port: 8082 })
  })

  it.each([
    [{ EVENT_BUS_URL: undefined }, 'the environment variable EVENT_BUS_URL is not set'],
    [{ EVENT_BUS_URL: 'http://bus' }, /^the environment variable EVENT_BUS_URL is not usable: /],
    [{ K8SCLAW_ISOLATION: 'perhaps' }, /^the environment variable K8SCLAW_ISOLATION is not usable: /],
    [{ K8SCLAW_LISTEN: 'nowhere' }, /^the environment variable K8SCLAW_LISTEN is not usable: must be host:port/],
  ])('names the variable that is wrong: %j', (change, message) => {
    expect(() => managerConfig({ ...env, ...change })).toThrow(message)
  })
})
