import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCanary } from './main.ts'
import { probe } from './probe.ts'

const how = { connectMs: 500, attempts: 3, pauseMs: 20 }
let folder = ''
let listening = ''
let alsoListening = ''
let refused = ''
const servers: Server[] = []

async function listen(port = 0): Promise<string> {
  const server = createServer((socket) => socket.end())
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'k8sclaw-canary-'))
  listening = await listen()
  alsoListening = await listen()
  refused = await listen()
  await new Promise((resolve) => servers.pop()?.close(resolve))
})
afterAll(async () => {
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  await rm(folder, { recursive: true, force: true })
})

describe('the canary', () => {
  const report = () => join(folder, 'report')
  const run = (...args: string[]) => runCanary([...args, '--report', report()], how)

  it('says isolated where what runs need is open and all else refused', async () => {
    const found = await run('--open', listening, '--closed', refused)
    expect(found).toEqual({ exitCode: 0, message: `pods of runs reach ${listening} and not ${refused}` })
    expect(await readFile(report(), 'utf8')).toBe(`${found.message}\n`)
  })

  it('says open, and names what it reached, whatever else fails', async () => {
    expect(await run('--open', refused, '--closed', refused, '--closed', alsoListening)).toEqual({
      exitCode: 1,
      message: `pods of runs reach ${alsoListening}`,
    })
  })

  it('does not take a network that lets nothing through for isolation', async () => {
    expect(await run('--open', refused, '--closed', refused)).toMatchObject({ exitCode: 3 })
  })

  it.each([
    [[], '--open: '],
    [['--open', '127.0.0.1', '--closed', '127.0.0.1:1'], '--open: must be host:port'],
    [['--open', '127.0.0.1:1', '--closed', 'a/b:1'], '--closed: must be host:port'],
    [['--shut', '127.0.0.1:1'], "Unknown option '--shut'"],
  ])('refuses %j', async (args, why) => {
    await expect(run(...args)).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringContaining(why) as string,
    })
  })
})

it('gives the network time to close in a pod that has just started, and to open', async () => {
  const opens = await listen()
  const closing = servers.pop()
  const closed = probe({ open: [listening], closed: [opens], ...how, attempts: 100 })
  await new Promise((resolve) => closing?.close(resolve))
  expect(await closed).toMatchObject({ exitCode: 0 })
  const opened = probe({ open: [opens], closed: [refused], ...how, attempts: 100 })
  await listen(Number(opens.split(':')[1]))
  expect(await opened).toMatchObject({ exitCode: 0 })
})
