import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { rewriter } from './rewriting.ts'

const rewrite = rewriter({
  paths: new Map([
    ['/ipc', '/real/ipc'],
    ['/ipc/input', '/real/input'],
    ['/tmp', '/real/tmp'],
    ['/a.b', '/real/dot'],
  ]),
  ports: new Set([8088, 4222]),
  podIP: '127.77.16.1',
  clusterIP: (namespace, name) => (namespace === 'system' && name === 'bus' ? '127.77.0.2' : undefined),
})

describe('outside bubblewrap', () => {
  it.each([
    ['/ipc', '/real/ipc'],
    ['/ipc/input/task.json', '/real/input/task.json'],
    ['/ipc/inputs', '/real/ipc/inputs'],
    ['/ipcx', '/ipcx'],
    ['/data/ipc', '/data/ipc'],
    ['../ipc', '../ipc'],
    ['--dir=/tmp --other=/tmp/x', '--dir=/real/tmp --other=/real/tmp/x'],
    ['/bin:/tmp:/ipc', '/bin:/real/tmp:/real/ipc'],
    ['"/tmp"', '"/real/tmp"'],
    ['unix:///tmp/socket', 'unix:///real/tmp/socket'],
    ['http://host/tmp', 'http://host/tmp'],
    ['/aXb', '/aXb'],
    ['/a.b/c', '/real/dot/c'],
  ])('the path %s becomes %s', (from, to) => {
    expect(rewrite(from)).toBe(to)
  })

  it.each([
    ['http://127.0.0.1:8088/openai/v1', 'http://127.77.16.1:8088/openai/v1'],
    ['127.0.0.1:4222', '127.77.16.1:4222'],
    ['127.0.0.1:80', '127.0.0.1:80'],
    ['127.0.0.1:80888', '127.0.0.1:80888'],
  ])('the address %s becomes %s', (from, to) => {
    expect(rewrite(from)).toBe(to)
  })

  it.each([
    ['nats://bus.system.svc:4222', 'nats://127.77.0.2:4222'],
    ['http://bus.system.svc.cluster.local/x', 'http://127.77.0.2/x'],
    ['bus.system.svc', '127.77.0.2'],
    ['bus.system.svcs', 'bus.system.svcs'],
    ['bus.other.svc', 'bus.other.svc'],
    ['my.bus.system.svc', 'my.bus.system.svc'],
    ['bus.system.svc.example.com', 'bus.system.svc.example.com'],
  ])('the service name %s becomes %s', (from, to) => {
    expect(rewrite(from)).toBe(to)
  })

  it('text that names nothing of these stays as it is', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        fc.pre(!/\/(ipc|tmp|a\.b)|127\.0\.0\.1|\.svc/.test(text))
        return rewrite(text) === text
      }),
    )
  })
})
