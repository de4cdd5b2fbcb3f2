import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

const main = join(import.meta.dirname, 'main.ts')
let root: string
let socket: string
let sandbox: ChildProcess | undefined

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'k8sclaw-sb-'))
  socket = join(root, 'sandbox.sock')
})
afterEach(async () => {
  if (sandbox && sandbox.exitCode === null && sandbox.signalCode === null) {
    sandbox.kill('SIGKILL')
    await new Promise((resolve) => sandbox?.once('exit', resolve))
  }
  rmSync(root, { recursive: true, force: true })
})

async function start() {
  const child = spawn(process.execPath, [main], {
    env: { ...process.env, K8SCLAW_SANDBOX_SOCKET: socket, K8SCLAW_WORKSPACE: root },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  sandbox = child
  let log = ''
  child.stderr.on('data', (data) => {
    log += String(data)
  })
  await vi.waitFor(() => expect(log).toContain('"ready"'), { timeout: 10_000 })
  return child
}

function post(body: unknown) {
  const call = request({ socketPath: socket, path: '/call', method: 'POST' })
  const answer = new Promise<{ status: number | undefined; body: unknown }>((resolve, reject) => {
    call.on('error', reject)
    call.on('response', (response) => {
      let text = ''
      response.on('error', reject)
      response.on('data', (chunk) => {
        text += String(chunk)
      })
      response.on('end', () => resolve({ status: response.statusCode, body: JSON.parse(text) }))
    })
  })
  call.end(JSON.stringify(body))
  return { call, answer }
}

const childPid = () => Number(existsSync(join(root, 'child')) && readFileSync(join(root, 'child'), 'utf8'))
const gone = (pid: number) => !existsSync(`/proc/${pid}`) || / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))

describe('the sandbox program', () => {
  it('listens on a socket for its group only, replaces a stale one, and answers calls', async () => {
    writeFileSync(socket, 'stale')
    await start()
    expect(statSync(socket).mode & 0o777).toBe(0o660)
    expect(await post({ tool: 'exec', input: { command: 'echo', args: ['hi'] } }).answer).toEqual({
      status: 200,
      body: { ok: true, output: { exitCode: 0, stdout: 'hi\n', stderr: '' } },
    })
    expect((await post({ tool: 'rm_rf', input: {} }).answer).status).toBe(400)
    expect((await post({ tool: 'exec', input: { stdin: 'x'.repeat(1_200_000) } }).answer).status).toBe(400)
    expect((await post({ tool: 'exec', input: { command: 'true' } }).answer).status).toBe(200)
  })

  it('kills the command of a caller that hangs up', async () => {
    await start()
    const { call, answer } = post({ tool: 'exec', input: { script: 'sleep 1000 & echo $! > child; wait' } })
    await vi.waitFor(() => expect(childPid()).toBeGreaterThan(0))
    call.destroy()
    await expect(answer).rejects.toThrow()
    await vi.waitFor(() => expect(gone(childPid())).toBe(true))
  })

  it('stops on SIGTERM with status 0 and leaves no child', async () => {
    const child = await start()
    const { answer } = post({ tool: 'exec', input: { script: 'sleep 1000 & echo $! > child; wait' } })
    await vi.waitFor(() => expect(childPid()).toBeGreaterThan(0))
    const exited = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    expect(await exited).toBe(0)
    expect(gone(childPid())).toBe(true)
    expect(await answer).toMatchObject({ body: { ok: false, error: { code: 'failed' } } })
  })

  it('names the variable that is missing and exits 2', () => {
    const { PATH, NODE_COMPILE_CACHE } = process.env
    const { status, stderr } = spawnSync(process.execPath, [main], { env: { PATH, NODE_COMPILE_CACHE } })
    expect([status, String(stderr)]).toEqual([2, expect.stringContaining('K8SCLAW_SANDBOX_SOCKET')])
  })
})
