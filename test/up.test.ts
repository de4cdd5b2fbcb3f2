import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { execute, k8sclawBinary, processesOf, startTestPlatform } from './support/platform.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'k8sclaw-up-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('k8sclaw up', () => {
  test('starts two platforms side by side, and a second start finds the same objects', async () => {
    const [first, second] = await Promise.all(
      ['one', 'two'].map((name) => startTestPlatform({ dataDir: join(folder, name) })),
    )
    if (!first || !second) throw new Error('two platforms were started')
    expect(first.url).not.toBe(second.url)
    await first.kubectl(['create', 'configmap', 'kept', '--from-literal=a=b'])
    expect((await second.tryKubectl(['get', 'configmap', 'kept'])).code).toBe(1)
    const { uid } = (await first.getJson<{ metadata: { uid: string } }>('get', 'configmap', 'kept')).metadata
    await Promise.all([first.close(), second.close()])

    const again = await startTestPlatform({ dataDir: first.dataDir })
    expect(again.url).toBe(first.url)
    expect(again.token).toBe(first.token)
    expect((await again.getJson<{ metadata: { uid: string } }>('get', 'configmap', 'kept')).metadata.uid).toBe(uid)
    const taken = await execute(k8sclawBinary, ['up', '--detach', '--data-dir', again.dataDir])
    expect(taken).toMatchObject({ code: 1, stdout: '' })
    expect(taken.stderr).toMatch(
      /^error: k8sclaw already runs on .* \(pid \d+\); stop it with: k8sclaw down --data-dir .*\n$/,
    )
    await again.close()
  })

  test('takes over the lock of a process that was killed, says so, and finds what was acknowledged', async () => {
    const dataDir = join(folder, 'killed')
    const first = await startTestPlatform({ dataDir })
    await first.kubectl(['create', 'configmap', 'kept', '--from-literal=a=b'])
    const { pid } = JSON.parse(readFileSync(join(dataDir, 'lock'), 'utf8')) as { pid: number }
    process.kill(pid, 'SIGKILL')
    await expect.poll(() => processesOf(dataDir), { timeout: 10_000 }).toEqual([])
    const second = await startTestPlatform({ dataDir })
    expect(second.said).toContain('its stale lock was taken over')
    await second.kubectl(['get', 'configmap', 'kept'])
    await second.close()
  })

  test('says in one sentence that a port is busy, and leaves nothing running', async () => {
    const server = createServer()
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const { port } = server.address() as { port: number }
    const dataDir = join(folder, 'busy')
    const up = await execute(k8sclawBinary, ['up', '--detach', '--data-dir', dataDir, '--port', String(port)])
    server.close()
    expect(up).toMatchObject({
      code: 1,
      stdout: '',
      stderr: `error: port ${port} on 127.0.0.1 is in use; choose another with --port\n`,
    })
    await expect.poll(() => processesOf(dataDir), { timeout: 5000 }).toEqual([])
  })

  test('says in one sentence that nats-server is missing', async () => {
    const env = { ...process.env, NATS_SERVER: '/nonexistent/nats-server' }
    const up = await execute(k8sclawBinary, ['up', '--detach', '--data-dir', join(folder, 'natsless')], { env })
    expect(up).toMatchObject({ code: 1, stdout: '' })
    expect(up.stderr).toMatch(/^error: .*nats-server.*\n$/)
  })

  test('says in one sentence that the data folder cannot be used', async () => {
    const file = join(folder, 'a-file')
    writeFileSync(file, '')
    for (const dataDir of [join(file, 'below'), '/proc/k8sclaw']) {
      const up = await execute(k8sclawBinary, ['up', '--detach', '--data-dir', dataDir])
      expect(up).toMatchObject({ code: 1, stdout: '' })
      expect(up.stderr).toMatch(/^error: the data folder .* cannot be written: .*\n$/)
    }
  })

  test.each([
    [['up', '--port', 'http'], "option '--port <port>' argument 'http' is invalid"],
    [['up', '--data-dir', ''], "option '--data-dir <folder>' argument '' is invalid"],
    [['down', '--data-dir', ''], "option '--data-dir <folder>' argument '' is invalid"],
    [['usage', '-o', 'name'], "option '-o, --output <format>' argument 'name' is invalid"],
    [['install', '--dry-run', '--tag', 'a b'], '--tag: a b cannot be the tag of an image'],
  ])('%j is refused with the flag named', async (args, sentence) => {
    const refused = await execute(k8sclawBinary, args)
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(refused.stderr).toContain(sentence)
  })
})
