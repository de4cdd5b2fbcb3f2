import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadIdentity } from './access/identity.ts'
import { resources, startApi } from './index.ts'

let dataDir: string
let child: ChildProcess | undefined
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'localkube-durable-'))
})
afterEach(() => {
  child?.kill('SIGKILL')
  rmSync(dataDir, { recursive: true })
})

const options = () => ({ dataDir, address: '127.0.0.1', port: 0, serviceAddress: '127.0.0.1' })

test('what was acknowledged before kill -9 is there afterwards, with the same tokens and certificates', async () => {
  // The child writes as fast as it can and names on stdout only what it was told is written.
  const program = `
    import { startApi, resources } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))}
    const api = await startApi(${JSON.stringify(options())})
    console.log('token ' + api.adminToken)
    const { token } = await api.client.mintToken({ namespace: 'default', name: 'default' })
    console.log('account ' + token)
    let n = 0
    const writer = async () => {
      for (;;) {
        const name = 'c' + n++
        await api.client.create(resources.configMaps, { metadata: { name, namespace: 'default' }, data: { x: 'y'.repeat(300) } })
        process.stdout.write('written ' + name + '\\n')
      }
    }
    await Promise.all([writer(), writer(), writer(), writer()])
  `
  child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  const written: string[] = []
  let token = ''
  let account = ''
  const lines = createInterface({ input: child.stdout ?? process.stdin })
  lines.on('line', (line) => {
    const [word, value = ''] = line.split(' ')
    if (word === 'token') token = value
    else if (word === 'account') account = value
    else {
      written.push(value)
      if (written.length === 200) child?.kill('SIGKILL')
    }
  })
  await once(lines, 'close')
  expect(written.length).toBeGreaterThanOrEqual(200)

  const api = await startApi(options())
  try {
    const { items } = await api.client.list(resources.configMaps, { namespace: 'default' })
    const names = new Set(items.map(({ metadata }) => metadata.name))
    expect(written.filter((name) => !names.has(name))).toEqual([])
    expect(api.adminToken).toBe(token)
    const response = await fetchReview(api, account)
    expect(response).toMatchObject({ authenticated: true })
  } finally {
    await api.close()
  }
})

async function fetchReview(api: Awaited<ReturnType<typeof startApi>>, token: string): Promise<unknown> {
  const { request } = await import('node:https')
  const headers = { Authorization: `Bearer ${api.adminToken}`, 'Content-Type': 'application/json' }
  const url = `${api.url}/apis/authentication.k8s.io/v1/tokenreviews`
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method: 'POST', headers, ca: api.caPem, agent: false }, (response) => {
      let text = ''
      response.on('data', (chunk) => {
        text += String(chunk)
      })
      response.on('end', () => resolve((JSON.parse(text) as { status: unknown }).status))
    })
    outgoing.on('error', reject).end(JSON.stringify({ spec: { token } }))
  })
}

test('two servers on one folder, a taken port and secrets readable by others do not happen', async () => {
  const api = await startApi(options())
  try {
    await expect(startApi(options())).rejects.toThrow(`the data folder ${dataDir} is in use by another server`)
    for (const file of ['identity.json', 'state.db', 'state.db-wal']) {
      const path = join(dataDir, file)
      if (existsSync(path)) expect(statSync(path).mode & 0o077).toBe(0)
    }
  } finally {
    await api.close()
  }
  const busy = createServer().listen(0, '127.0.0.1')
  await once(busy, 'listening')
  const address = busy.address()
  const port = typeof address === 'object' && address ? address.port : 0
  try {
    await expect(startApi({ ...options(), port })).rejects.toThrow(`127.0.0.1:${port} is in use by another program`)
  } finally {
    busy.close()
  }
})

test('a server that moves to another address and port is found there by its Service', async () => {
  await (await startApi(options())).close()
  const moved = await startApi({ ...options(), serviceAddress: '127.0.0.5' })
  try {
    const { spec } = await moved.client.get(resources.services, { namespace: 'default', name: 'kubernetes' })
    expect(spec).toMatchObject({ clusterIP: '127.0.0.5', ports: [{ port: Number(new URL(moved.url).port) }] })
  } finally {
    await moved.close()
  }
})

test('a server whose certificates were out of their time has new ones, which every namespace is given to trust', async () => {
  const first = await startApi(options())
  const { adminToken } = first
  await first.close()
  // As if it had last been started by a clock that was fifty years ahead.
  await loadIdentity(dataDir, [], new Date(Date.now() + 50 * 365 * 86_400_000))
  const api = await startApi(options())
  try {
    expect(api.caPem).not.toBe(first.caPem)
    expect(api.adminToken).toBe(adminToken)
    for (const namespace of ['default', 'kube-system']) {
      const root = await api.client.get(resources.configMaps, { namespace, name: 'kube-root-ca.crt' })
      expect(root.data).toEqual({ 'ca.crt': api.caPem })
    }
  } finally {
    await api.close()
  }
})
