import { chmod, chown, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeEtc } from './etc.ts'
import { detectIsolation, type Isolation } from './isolation.ts'
import type { Pod } from './objects.ts'
import { type Launch, launch } from './process.ts'

const isolation = await detectIsolation()
let folder: string
beforeAll(async () => {
  // 0700, as mkdtemp makes it: other users cannot come here, and containers must work all the same.
  folder = await mkdtemp(join(tmpdir(), 'localkube-process-'))
  const pod = { metadata: { name: 'pod' }, spec: { containers: [] } } as unknown as Pod
  await writeEtc(join(folder, 'etc'), pod, [{ uid: 10001, gid: 10000 }])
  await mkdir(join(folder, 'data'))
  await chmod(join(folder, 'data'), 0o777)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

function plan(command: string[], changes: Partial<Launch> = {}): Launch {
  return {
    isolation,
    dataDir: folder,
    root: isolation.root,
    image: { argv: [], confined: true },
    identity: { uid: 10001, gid: 10000, groups: [] },
    hostname: 'pod',
    etc: join(folder, 'etc'),
    mounts: [{ source: join(folder, 'data'), target: '/data', readOnly: false }],
    workingDir: '/',
    command,
    env: { PATH: '/usr/bin:/bin', SECRET: 'from the environment' },
    rewriting: { podIP: '127.0.0.1', ports: new Set(), clusterIP: () => undefined },
    forwardPorts: [],
    ...changes,
  }
}

async function run(launchPlan: Launch): Promise<{ code: number; output: string }> {
  const process = await launch(launchPlan)
  let output = ''
  process.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  process.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  return { code: await process.exited, output }
}

const shell = (script: string, changes?: Partial<Launch>) => run(plan(['sh', '-c', script], changes))

function listen(host: string, answer: string): Promise<{ server: Server; port: number }> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.end(answer))
    server.listen(0, host, () => {
      const address = server.address()
      resolve({ server, port: typeof address === 'object' && address ? address.port : 0 })
    })
  })
}

/** Skipped only where bubblewrap does not work at all; then the node says `isolation: none` everywhere. */
describe.skipIf(isolation.kind === 'none')('a confined container', () => {
  it('passes on its exit code, its output and its environment, and no other', async () => {
    const result = await shell('echo out; echo err >&2; env; exit 7')
    expect(result.code).toBe(7)
    expect(result.output).toContain('out\n')
    expect(result.output).toContain('err\n')
    expect(result.output).toContain('SECRET=from the environment')
    expect(result.output).not.toContain('HOME=')
  })

  it('is ended by SIGTERM, and by SIGKILL when it does not listen', async () => {
    const polite = await launch(plan(['sleep', '60']))
    polite.stdout.resume()
    polite.stderr.resume()
    await polite.terminate()
    expect(await polite.exited).toBe(143)
    const deaf = await launch(plan(['sh', '-c', 'trap "" TERM; echo ready; sleep 60 & wait; sleep 60']))
    deaf.stderr.resume()
    await new Promise((resolve) => deaf.stdout.on('data', resolve))
    await deaf.terminate()
    deaf.kill()
    expect(await deaf.exited).toBe(137)
  })

  it('reaches no listener of this machine, on any loopback address', async () => {
    for (const host of ['127.0.0.1', '127.99.1.2']) {
      const { server, port } = await listen(host, 'hello')
      const probe = `require("net").connect(${port}, "${host}").on("error", e => { console.log(e.code); process.exit(3) }).on("connect", () => process.exit(0))`
      const result = await run(
        plan(['/image/node', '-e', probe], {
          mounts: [{ source: process.execPath, target: '/image/node', readOnly: true }],
        }),
      )
      expect(result).toEqual({ code: 3, output: 'ECONNREFUSED\n' })
      server.close()
    }
  })

  it('has no interface but loopback, which is up', async () => {
    const { output } = await shell('cat /proc/net/dev | tail -n +3 | cut -d: -f1; cat /proc/net/route | tail -n +2')
    expect(output.trim()).toBe('lo')
  })

  it('sees neither the home folder, nor the data folder, nor processes of this machine', async () => {
    await writeFile(join(folder, 'secret'), 'x')
    const { output } = await shell(
      `cat ${join(folder, 'secret')} ${process.cwd()}/package.json; ls /home; ls /root; ls -d /proc/[0-9]* | wc -l; ls /`,
    )
    expect(output.match(/No such file/g)).toHaveLength(4)
    const entries = output.split('\n')
    expect(Number(entries.find((l) => /^\d+$/.test(l)))).toBeLessThan(8)
    expect(entries).not.toContain('home')
  })

  it('may write its volumes and /tmp and nothing else', async () => {
    const { output } = await shell(
      'for d in /data /tmp /usr /etc / /proc/sys/kernel; do touch $d/new 2>/dev/null && echo $d; done',
    )
    expect(output).toBe('/data\n/tmp\n')
  })

  it('may have the network of this machine, at the addresses that it really has there, and no more of it', async () => {
    const { server, port } = await listen('127.0.0.1', 'the pod')
    const script = `id -u; ls /root /home 2>&1; test -e ${folder} && echo folder; cat /data/../data/f; echo $ADDRESS`
    await writeFile(join(folder, 'data', 'f'), 'content\n')
    const changes: Partial<Launch> = {
      image: { argv: [], confined: true, hostNetwork: true },
      env: { PATH: '/usr/bin:/bin', ADDRESS: `127.0.0.1:8088 http://bus.system.svc:1 /data` },
      rewriting: { podIP: '127.0.0.9', ports: new Set([8088]), clusterIP: () => '127.0.0.8' },
    }
    const { output } = await shell(script, changes)
    expect(output).toContain('content\n127.0.0.9:8088 http://127.0.0.8:1 /data\n')
    expect(output).toMatch(/\/root.*No such file.*\n.*\/home.*No such file/)
    expect(output).not.toMatch(/^folder$/m)
    const connect = `require('net').connect(${port},'127.0.0.1').pipe(process.stdout)`
    const mounts = [{ source: process.execPath, target: '/image/node', readOnly: true }]
    expect(await run(plan(['/image/node', '-e', connect], { ...changes, mounts }))).toEqual({
      code: 0,
      output: 'the pod',
    })
    server.close()
  })

  it('has names for its users, certificates, and no resolver', async () => {
    const { output } = await shell('id -un; cat /etc/resolv.conf; hostname; test -d /etc/ssl/certs && echo certs')
    expect(output).toMatch(/^user10001\npod\n(certs\n)?$/)
  })

  it('runs as its real user without any privilege where the node is root', async (context) => {
    if (!isolation.root || isolation.kind === 'none') context.skip('needs root and bubblewrap')
    const result = await shell('touch /data/owned; id; grep -E "^(Cap|NoNewPrivs)" /proc/self/status', {
      identity: { uid: 10001, gid: 10000, groups: [10000, 12] },
    })
    expect(result.output).toContain('uid=10001(user10001) gid=10000(group10000) groups=10000(group10000),12')
    expect(result.output).toMatch(/NoNewPrivs:\s1/)
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb']) {
      expect(result.output).toMatch(new RegExp(`${set}:\\s0{16}`))
    }
    const { uid, gid } = await stat(join(folder, 'data/owned'))
    expect({ uid, gid }).toEqual({ uid: 10001, gid: 10000 })
  })

  it('changes no setting of the machine, even as uid 0 where the node is root', async (context) => {
    if (!isolation.root) return context.skip()
    const ofProcesses = ['[0-9]*', 'self', 'thread-self'].map((name) => `-path '/proc/${name}' -prune -o`).join(' ')
    const script = `find /proc ${ofProcesses} -type f -writable -print; echo end`
    expect(await shell(script, { identity: { uid: 0, gid: 0, groups: [] } })).toEqual({ code: 0, output: 'end\n' })
  })

  it('cannot make the loader work for it while there is still privilege', async () => {
    const { output } = await shell('echo "preload: $LD_PRELOAD"', {
      env: { PATH: '/usr/bin:/bin', LD_PRELOAD: '/data/absent.so' },
    })
    // The complaint comes once for each program started after env(1): never for setpriv.
    expect(output).not.toContain('setpriv')
    expect(output).toContain('preload: /data/absent.so')
  })

  it('shows no environment on any command line of this machine', async () => {
    const process = await launch(plan(['sleep', '60']))
    const line = await readFile(`/proc/${process.pid}/cmdline`, 'utf8')
    expect(line).toContain('sleep')
    expect(line).not.toContain('from the environment')
    process.kill()
    process.stdout.resume()
    process.stderr.resume()
    await process.exited
  })

  it('runs commands of exec probes inside', async () => {
    const container = await launch(plan(['sh', '-c', 'touch /tmp/mark; echo ready; sleep 60']))
    container.stderr.resume()
    await new Promise((resolve) => container.stdout.on('data', resolve))
    expect(await container.execute(['test', '-e', '/tmp/mark'], 5000)).toBe(0)
    expect(await container.execute(['test', '-e', '/tmp/other'], 5000)).toBe(1)
    container.kill()
    await container.exited
  })

  it('reaches forwarded ports of its pod on its own loopback, by a process that is not there any more', async () => {
    const { server, port } = await listen('127.0.0.9', 'hello from the pod')
    const script = `
      const socket = require("net").connect(${port}, "127.0.0.1")
      socket.on("data", d => console.log(d.toString(), process.env.NODE_CHANNEL_FD, require("fs").readdirSync("/proc").filter(n => /^\\d+$/.test(n)).length))`
    const result = await run(
      plan(['/image/node', '-e', script], {
        image: { argv: [], confined: true, forwardPorts: true },
        mounts: [{ source: process.execPath, target: '/image/node', readOnly: true }],
        forwardPorts: [port],
        rewriting: { podIP: '127.0.0.9', ports: new Set([port]), clusterIP: () => undefined },
      }),
    )
    expect(result).toEqual({ code: 0, output: 'hello from the pod undefined 2\n' })
    server.close()
  })
})

describe('a container that is not confined', () => {
  const image = { argv: [], confined: false }

  it('finds its mounts where its words say, and may use the network of this machine', async () => {
    await writeFile(join(folder, 'data/file'), 'content')
    const { server, port } = await listen('127.0.0.1', 'hello')
    const script = `require("net").connect(${port}, "127.0.0.1").on("data", d => console.log(d.toString() + require("fs").readFileSync(process.env.FILE)))`
    const result = await run(
      plan([process.execPath, '-e', script], {
        image,
        identity: undefined,
        env: { PATH: '/usr/bin:/bin', FILE: '/data/file' },
      }),
    )
    expect(result).toEqual({ code: 0, output: 'hellocontent\n' })
    server.close()
  })

  // Without bubblewrap it is the volumes that lie inside each other: see the tests of mounts.
  it.skipIf(isolation.kind === 'none')('has mounts inside mounts', async () => {
    await mkdir(join(folder, 'inner'), { recursive: true })
    await writeFile(join(folder, 'inner/task'), 'task')
    await mkdir(join(folder, 'data/input'), { recursive: true })
    const result = await shell('cat $DIR/input/task; cat /data/input/task', {
      image,
      env: { PATH: '/usr/bin:/bin', DIR: '/data' },
      mounts: [
        { source: join(folder, 'data'), target: '/data', readOnly: false },
        { source: join(folder, 'inner'), target: '/data/input', readOnly: true },
      ],
    })
    expect(result.output).toBe('tasktask')
  })

  it('takes its user although the data folder is closed to others, where the node is root', async (context) => {
    if (!isolation.root || isolation.kind === 'none') context.skip('needs root and bubblewrap')
    await writeFile(join(folder, 'data/mine'), 'mine')
    await chown(join(folder, 'data/mine'), 10001, 10000)
    await chmod(join(folder, 'data/mine'), 0o400)
    expect(await shell('cat $F; id -u', { image, env: { PATH: '/usr/bin:/bin', F: '/data/mine' } })).toEqual({
      code: 0,
      output: 'mine10001\n',
    })
  })

  it('runs as a plain process where isolation is off', async () => {
    const none: Isolation = { kind: 'none', reason: 'off', root: isolation.root }
    const result = await shell('cat $F; exit 4', {
      image: { argv: [], confined: true },
      isolation: none,
      env: { PATH: '/usr/bin:/bin', F: '/data/file' },
    })
    expect(result).toEqual({ code: 4, output: 'content' })
  })
})
