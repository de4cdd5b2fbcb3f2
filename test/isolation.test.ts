import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type Server } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import type { AgentRun, ClawInstance } from '#core/kinds'
import { detectIsolation } from '#localkube/node'
import { allowAll, demoScript, instance, run } from './support/objects.ts'
import { execute, startTestPlatform, type TestPlatform } from './support/platform.ts'
import { type PodObject, pidOf, platformPod, podFolder, podOfRun } from './support/pods.ts'

const isRoot = process.getuid?.() === 0
const isolation = await detectIsolation()
const untilPhase = (platform: TestPlatform, name: string, phase: string) =>
  platform.kubectl(['wait', `agentrun/${name}`, `--for=jsonpath={.status.phase}=${phase}`, '--timeout=60s'])
const runOf = (platform: TestPlatform, name: string) => platform.getJson<AgentRun>('get', 'agentrun', name)

/** What test/support/intruder.py reports. */
interface Report {
  uid: number
  gids: number[]
  connected: string[]
  read: string[]
  readThroughProc: string[]
  words: string[]
  named: string[]
  sockets: string[]
  interfaces: string[]
  environment: string[]
  folders: string[]
  writable: string[]
  becomes: number[]
}

// It does not run where nothing can isolate; there the second half of this file says what holds instead.
describe.runIf(isolation.kind === 'bubblewrap')('from inside a run', () => {
  const intruder = readFileSync(join(import.meta.dirname, 'support', 'intruder.py'), 'utf8')
  const marker = join(process.env.HOME ?? '/', `.k8sclaw-marker-${process.pid}`)
  const listeners: Server[] = []
  let platform: TestPlatform
  let asked: { connect: string[]; read: string[]; names: string[]; words: string[] }
  let reports: { host: Report; agent: Report; sandbox: Report }
  let uids: Record<string, number | undefined>

  beforeAll(async () => {
    writeFileSync(marker, 'of the user')
    platform = await startTestPlatform({ env: { K8SCLAW_ISOLATION: '' } })
    await platform.apply(
      allowAll(),
      instance('held', { image: 'k8sclaw.io/host', command: ['/bin/sleep', '120'], timeout: '120s' }),
      run('held', 'held'),
    )
    const held = await podOfRun(platform, 'held')
    asked = await whatThereIsToReach(held)

    const question = encoded(asked)
    const { secret, authRefs } = demoScript('intruder', intruderScript(question))
    const agentQuestion = encoded({ ...asked, result: '/ipc/output/result.json' })
    const whenAsked = 'until [ -e /ipc/input/task.json ]; do sleep 0.05; done; exec /usr/bin/python3 -c "$0" "$1"'
    const command = ['/bin/sh', '-c', whenAsked, intruder, agentQuestion]
    await platform.apply(
      secret,
      instance('in-sandbox', {}, { authRefs }),
      instance('in-agent', { image: 'k8sclaw.io/host', command }),
      run('in-sandbox', 'in-sandbox'),
      run('in-agent', 'in-agent'),
    )
    uids = Object.fromEntries(['agent', 'bridge', 'sandbox'].map((name) => [name, uidOnHost(held, name)]))
    const [agent, sandbox, host] = await Promise.all([
      reportOf('in-agent'),
      reportOf('in-sandbox'),
      execute('python3', ['-c', intruder, question]).then((done) => JSON.parse(done.stdout) as Report),
    ])
    reports = { host, agent, sandbox }
  })
  afterAll(async () => {
    for (const server of listeners) server.close()
    rmSync(marker, { force: true })
    await platform?.close()
  })

  /** Everything that a program of this machine reaches and a run must not. */
  async function whatThereIsToReach(held: PodObject) {
    const real = Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .filter((address) => !address.internal && address.scopeid === undefined)
      .map((address) => address.address)
    const octet = held.status?.podIP?.split('.')[1]
    const listening = await Promise.all(['127.0.0.1', `127.${octet}.200.1`, ...real].map(listen))
    const services = await Promise.all(
      [
        ['k8sclaw-nats', 4222],
        ['k8sclaw-gateway', 8080],
        ['k8sclaw-identity', 8082],
        ['k8sclaw-apiserver', 8080],
        ['k8sclaw-database', 5432],
      ].map(async ([name, port]) => {
        const { spec } = await platform.getJson<{ spec: { clusterIP: string } }>(
          ...['get', 'service', String(name), '-n', 'k8sclaw-system'],
        )
        return `${spec.clusterIP}:${port}`
      }),
    )
    const pods = await Promise.all(
      [
        ['k8sclaw-nats', 4222],
        ['k8sclaw-gateway', 8080],
        ['k8sclaw-controller', 8082],
        ['k8sclaw-webhook', 9443],
        ['k8sclaw-database', 5432],
      ].map(async ([name, port]) => `${(await platformPod(platform, String(name))).status?.podIP}:${port}`),
    )
    const { host: kube } = new URL((await platform.kubectl(['config', 'view', '-o', 'jsonpath={..server}'])).trim())
    const others = podFolder(platform, held)
    return {
      connect: [...listening, ...services, ...pods, kube, new URL(platform.url).host, `${held.status?.podIP}:8088`],
      read: [
        marker,
        join(platform.dataDir, 'kubeconfig'),
        join(platform.dataDir, 'platform.log'),
        join(platform.dataDir, 'api'),
        join(others, 'v', 'ipc', 'input', 'task.json'),
        join(others, 'v', 'input', 'task.json'),
        join(others, 'v', 'token', 'token'),
        join(others, 'log'),
      ],
      names: [
        marker.slice(marker.lastIndexOf('/') + 1),
        'kubeconfig',
        'serviceaccount',
        'token',
        'run-token.private.pem',
      ],
      words: [
        'K8SCLAW_TOKEN_FILE',
        'K8SCLAW_BRIDGE_KEY',
        'K8SCLAW_BUS_KEYS_DIR',
        'nats-server',
        'bridge.mjs',
        'vitest',
      ],
    }
  }

  async function listen(host: string): Promise<string> {
    const server = createServer((socket) => socket.destroy())
    listeners.push(server)
    await new Promise<void>((done, fail) => server.once('error', fail).listen(0, host, done))
    const { port } = server.address() as { port: number }
    return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  }

  function intruderScript(question: string): string {
    const toolCalls = [{ name: 'exec', arguments: { command: '/usr/bin/python3', args: ['-c', intruder, question] } }]
    return stringify({
      steps: [
        { when: { turns: 0 }, reply: { text: 'I look around.', toolCalls } },
        { reply: { text: '{{results.0.stdout}}' } },
      ],
    })
  }

  async function reportOf(name: string): Promise<Report> {
    await untilPhase(platform, name, 'Succeeded')
    return JSON.parse((await runOf(platform, name)).status?.result ?? '') as Report
  }

  function uidOnHost(of: PodObject, container: string): number | undefined {
    const pid = pidOf(platform, of, container)
    if (pid === undefined) return undefined
    return Number(readFileSync(`/proc/${innermost(pid)}/status`, 'utf8').match(/^Uid:\s+(\d+)/m)?.[1])
  }

  test('the same program outside reaches all of it, so that the rest of this file can fail', () => {
    const { host } = reports
    expect(host.connected).toEqual(asked.connect)
    expect(host.read).toEqual(asked.read.filter((path) => path !== asked.read[4]))
    expect(host.named).not.toEqual([])
    expect(host.words).toEqual(isRoot ? asked.words : expect.arrayContaining(['vitest']))
  })

  test('the database, which every user of the machine reaches, answers nobody without its password', async () => {
    const at = asked.connect.find((address) => address.endsWith(':5432')) ?? ''
    for (const user of ['postgres', 'postgres:', 'postgres:postgres', 'k8sclaw:k8sclaw']) {
      const stranger = new Client({ connectionString: `postgres://${user}@${at}/postgres` })
      await expect(stranger.connect()).rejects.toThrow(/password/)
    }
  })

  test('the platform says that it isolates', async () => {
    expect(platform.isolation).toBe('bubblewrap')
    expect((await runOf(platform, 'in-agent')).status?.effective?.isolation).toBe('bubblewrap')
    expect((await platform.k8sclaw('doctor')).stdout).toContain('isolation: bubblewrap')
  })

  describe.each(['agent', 'sandbox'] as const)('the %s', (who) => {
    test('reaches no address but its own loopback', () => {
      expect(reports[who].connected).toEqual([])
      expect(reports[who].interfaces).toEqual(['lo'])
    })

    test("reads nothing of the user, of the data folder, or of another pod, also through /proc's roots", () => {
      expect(reports[who].read).toEqual([])
      expect(reports[who].readThroughProc).toEqual([])
    })

    test('finds no token, no key and no kubeconfig anywhere', () => {
      expect(reports[who].named).toEqual([])
    })

    test('sees no process of another container', () => {
      expect(reports[who].words).toEqual([])
    })

    test('writes only where it was given room, and cannot become another user', () => {
      expect(reports[who].writable).toEqual([])
      expect(reports[who].becomes).toEqual([])
    })
  })

  test('the agent sees no socket of the sandbox, and of the platform only its key for its own bridge', () => {
    expect(reports.agent.sockets).toEqual([])
    const own = ['K8SCLAW_IPC_DIR', 'K8SCLAW_SKILLS_DIR', 'K8SCLAW_WORKSPACE']
    expect(reports.agent.environment.filter((name) => name.startsWith('K8SCLAW_'))).toEqual(own)
    expect(reports.agent.environment.filter((name) => /TOKEN|SECRET|KEY/.test(name))).toEqual([
      'ANTHROPIC_API_KEY',
      'OPENAI_API_KEY',
    ])
  })

  test('the sandbox sees no /ipc and no socket but its own, and has no key', () => {
    expect(reports.sandbox.folders).not.toContain('ipc')
    expect(reports.sandbox.folders).not.toContain('skills')
    expect(reports.sandbox.sockets).toEqual(['/run/k8sclaw/sandbox.sock'])
    expect(reports.sandbox.environment.filter((name) => /TOKEN|SECRET|KEY/.test(name))).toEqual([])
  })

  test('agent, bridge and sandbox are different users', () => {
    expect(reports.agent).toMatchObject({ uid: 10001, gids: [10000] })
    expect(reports.sandbox).toMatchObject({ uid: 10003, gids: [10000] })
    if (isRoot) expect(uids).toEqual({ agent: 10001, bridge: 10002, sandbox: 10003 })
  })
})

describe('with bubblewrap off PATH', () => {
  let folder: string
  let env: NodeJS.ProcessEnv
  let platform: TestPlatform
  let provider: Provider
  const authRefs = [{ provider: 'other', secretRef: { name: 'other' } }]

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'k8sclaw-bare-'))
    mkdirSync(join(folder, 'bin'))
    for (const name of ['sh', 'readlink', 'dirname']) symlinkSync(which(name), join(folder, 'bin', name))
    env = { PATH: join(folder, 'bin'), NATS_SERVER: process.env.NATS_SERVER || which('nats-server') }
    platform = await startTestPlatform({ dataDir: join(folder, 'data'), env })
    provider = await anotherProvider()
    const stringData = { apiKey: 'none', baseURL: provider.url }
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'other', namespace: 'default' }, stringData }
    await platform.apply(allowAll(), secret, instance('demo'), instance('other', { provider: 'other' }, { authRefs }))
  })
  afterAll(async () => {
    await platform?.close()
    provider?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  test('up, doctor, the instance and the run say isolation: none, and a demo run works', async () => {
    expect(platform.said).toMatch(/^isolation: none \(bubblewrap \(bwrap\) is not installed\)$/m)
    const doctor = await platform.k8sclaw('doctor')
    expect(doctor.stdout).toMatch(/^WARN {2}isolation: none \(.*only the demo model runs\)$/m)
    expect(doctor.code).toBe(0)
    await platform.apply(run('demo', 'demo'))
    await untilPhase(platform, 'demo', 'Succeeded')
    expect((await runOf(platform, 'demo')).status?.effective?.isolation).toBe('none')
    const { status } = await platform.getJson<ClawInstance>('get', 'clawinstance', 'demo')
    expect(status?.conditions).toContainEqual(expect.objectContaining({ type: 'Isolated', status: 'False' }))
  })

  test('the webhook refuses a run with another provider', async () => {
    const byInstance = await platform.tryKubectl(['apply', '-f', '-'], JSON.stringify(run('refused', 'other')))
    expect(byInstance.code).toBe(1)
    expect(byInstance.stderr).toMatch(/spec\.instanceRef: .*isolation: none.*only provider demo.*not other/)
    const model = { provider: 'other', name: 'x' }
    const byRun = await platform.tryKubectl(['apply', '-f', '-'], JSON.stringify(run('refused', 'other', { model })))
    expect(byRun.stderr).toMatch(/spec\.model\.provider: .*isolation: none/)
  })

  test('the controller fails it where the webhook could not know or is not there', async () => {
    await platform.apply(run('early', 'later'))
    await untilPhase(platform, 'early', 'Pending')
    await platform.apply(instance('later', { provider: 'other' }, { authRefs }))
    await untilPhase(platform, 'early', 'Failed')
    expect((await runOf(platform, 'early')).status).toMatchObject({ reason: 'NotIsolated' })

    await platform.kubectl(['delete', 'validatingwebhookconfiguration', '--all'])
    await platform.apply(run('unjudged', 'other'))
    await untilPhase(platform, 'unjudged', 'Failed')
    const { status } = await runOf(platform, 'unjudged')
    expect(status).toMatchObject({ reason: 'NotIsolated', error: expect.stringContaining('only provider demo') })
    expect(status?.jobName).toBeUndefined()
  })

  test('--unconfined admits it', async () => {
    await platform.close()
    platform = await startTestPlatform({ dataDir: platform.dataDir, env, args: ['--unconfined'] })
    expect((await platform.k8sclaw('doctor')).stdout).toMatch(/isolation: none \(.*every model runs\)/)
    await platform.apply(run('admitted', 'other'))
    await untilPhase(platform, 'admitted', 'Succeeded')
    const { status } = await runOf(platform, 'admitted')
    expect(status).toMatchObject({ result: 'Hello.', effective: { model: { provider: 'other' }, isolation: 'none' } })
  })
})

interface Provider {
  url: string
  close(): void
}

/** A model of somebody else that speaks the OpenAI format and says one thing. */
async function anotherProvider(): Promise<Provider> {
  const chunk = (choice: object) => `data: ${JSON.stringify({ model: 'demo', choices: [{ index: 0, ...choice }] })}\n\n`
  const server = createHttpServer((request, response) => {
    request.resume()
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(chunk({ delta: { role: 'assistant', content: 'Hello.' } }))
    response.end(`${chunk({ delta: {}, finish_reason: 'stop' })}data: [DONE]\n\n`)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as { port: number }
  return { url: `http://127.0.0.1:${port}/v1`, close: () => void server.close() }
}

function encoded(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64')
}

/** The program itself: the first process of a container is bubblewrap. */
function innermost(pid: number): number {
  const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
  return child ? innermost(Number(child)) : pid
}

function which(program: string): string {
  for (const folder of [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin']) {
    try {
      if (readdirSync(folder).includes(program)) return join(folder, program)
    } catch {
      // Not every folder of PATH exists.
    }
  }
  throw new Error(`${program} is not on PATH`)
}
