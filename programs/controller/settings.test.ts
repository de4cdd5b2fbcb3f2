import { expect, it } from 'vitest'
import { readSettings } from './settings.ts'

it('reads what the manifest gives', () => {
  const env = {
    K8SCLAW_BUS_KEYS_DIR: '/keys',
    EVENT_BUS_URL: 'nats://bus:4222',
    K8SCLAW_ISOLATION: 'none',
    K8SCLAW_LISTEN: '127.77.0.5:8082',
    K8SCLAW_ALLOW_UNCONFINED: 'true',
  }
  expect(readSettings(env)).toMatchObject({
    listen: { host: '127.77.0.5', port: 8082 },
    systemNamespace: 'k8sclaw-system',
    startDeadlineMs: 300_000,
    platform: { isolation: 'none', allowUnconfined: true, images: { agent: 'k8sclaw/agent:dev' } },
    job: { busUrl: 'nats://bus:4222', bridgeImage: 'k8sclaw/bridge:dev' },
  })
  expect(readSettings({ ...env, K8SCLAW_REPLICA: 'pod-1' }).replica).toBe('pod-1')
  expect(readSettings(env).replica, 'a name of its own where none is given').not.toBe(readSettings(env).replica)
  expect(() => readSettings({ ...env, EVENT_BUS_URL: undefined })).toThrow('EVENT_BUS_URL is not set')
})

it('takes addresses of a bus outside the cluster, at its own port', () => {
  const env = {
    K8SCLAW_BUS_KEYS_DIR: '/keys',
    EVENT_BUS_URL: 'tls://bus.example:4443',
    K8SCLAW_ISOLATION: 'kubernetes',
  }
  const externalBus = (K8SCLAW_BUS_CIDR?: string) => readSettings({ ...env, K8SCLAW_BUS_CIDR }).externalBus
  expect(externalBus()).toBeUndefined()
  expect(externalBus(' ')).toBeUndefined()
  expect(externalBus('10.1.0.0/16, fd00::/64')).toEqual({ cidrs: ['10.1.0.0/16', 'fd00::/64'], port: 4443 })
  expect(() => externalBus('10.1.0.0')).toThrow('K8SCLAW_BUS_CIDR')
})
