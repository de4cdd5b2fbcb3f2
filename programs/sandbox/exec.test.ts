import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { limits, type Performed } from '#core/ipc'
import { perform } from './server.ts'
import { Workspace } from './workspace.ts'

let root: string
let stop: AbortController
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'k8sclaw-exec-'))
  stop = new AbortController()
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const env = { PATH: process.env.PATH ?? '', HOME: '/tmp' }
const exec = (input: unknown): Promise<Performed> =>
  perform('exec', input, { workspace: new Workspace(root), env }, stop.signal)

/** Whether a process is there and not a zombie that waits for its parent. */
function alive(pid: number): boolean {
  try {
    return !/^\S+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}
const pidIn = (file: string) => Number(readFileSync(join(root, file), 'utf8'))

describe('exec', () => {
  it('runs a command with its arguments, without a shell, in the workspace', async () => {
    expect(await exec({ command: 'echo', args: ['$HOME', 'a  b'] })).toEqual({
      ok: true,
      output: { exitCode: 0, stdout: '$HOME a  b\n', stderr: '' },
    })
    expect(await exec({ command: 'pwd' })).toMatchObject({ output: { stdout: `${root}\n` } })
  })

  it('runs a script with standard input, in a folder of the workspace, and gives both streams and the exit code', async () => {
    mkdirSync(join(root, 'sub'))
    const answer = await exec({ script: 'cat; pwd >&2; exit 3', cwd: 'sub', stdin: 'in\0put' })
    expect(answer).toEqual({ ok: true, output: { exitCode: 3, stdout: 'in\0put', stderr: `${root}/sub\n` } })
  })

  it('shows the command nothing of its own environment', async () => {
    process.env.SECRET_OF_THE_TEST = 'x'
    const answer = await exec({ command: 'env' })
    delete process.env.SECRET_OF_THE_TEST
    expect(answer).toMatchObject({ output: { stdout: expect.not.stringContaining('SECRET_OF_THE_TEST') } })
  })

  it('says by which signal a command ended', async () => {
    expect(await exec({ script: 'kill -9 $$' })).toMatchObject({ output: { exitCode: null, signal: 'SIGKILL' } })
  })

  it('answers failed for a command that does not exist or may not run, invalid_input for a folder that is outside', async () => {
    writeFileSync(join(root, 'plain'), '')
    expect(await exec({ command: 'no-such-command' })).toMatchObject({
      error: { code: 'failed', message: /no such command/ },
    })
    expect(await exec({ command: './plain' })).toMatchObject({ error: { code: 'failed', message: /EACCES/ } })
    expect(await exec({ command: 'ls', cwd: '..' })).toMatchObject({ error: { code: 'invalid_input' } })
    expect(await exec({ command: 'ls', cwd: 'plain' })).toMatchObject({ error: { code: 'invalid_input' } })
    expect(await exec({ script: '' })).toMatchObject({ error: { code: 'invalid_input' } })
  })

  it('does not mind a command that does not read its input', async () => {
    expect(await exec({ command: 'true', stdin: 'x'.repeat(300_000) })).toMatchObject({ output: { exitCode: 0 } })
  })

  it('kills the whole group when its time is up, and keeps what it said', async () => {
    const answer = await exec({
      script: 'trap "" TERM; sleep 1000 & echo $! > child; echo said; wait; sleep 1000',
      timeoutSeconds: 1,
    })
    expect(answer).toMatchObject({ ok: false, error: { code: 'timeout', message: /after 1 s.*\nsaid/ } })
    await vi.waitFor(() => expect(alive(pidIn('child'))).toBe(false))
  })

  it('leaves nothing running behind an answer', async () => {
    const answer = await exec({ script: 'sleep 1000 & echo $! > child; echo done' })
    expect(answer).toMatchObject({ output: { exitCode: 0, stdout: 'done\n' } })
    await vi.waitFor(() => expect(alive(pidIn('child'))).toBe(false))
  })

  it('is not held up by a process that left the group and keeps the output open', async () => {
    const answer = await exec({ script: 'setsid sleep 1000 & echo $! > child; sleep 0.2; echo done' })
    expect(answer).toMatchObject({ output: { stdout: 'done\n' } })
    process.kill(pidIn('child'), 'SIGKILL')
  })

  it('kills the whole group when nobody waits for the answer any more', async () => {
    const answer = exec({ script: 'sleep 1000 & echo $! > child; wait' })
    await vi.waitFor(() => expect(existsSync(join(root, 'child')) && pidIn('child')).toBeGreaterThan(0))
    stop.abort()
    expect(await answer).toMatchObject({ ok: false, error: { code: 'failed' } })
    await vi.waitFor(() => expect(alive(pidIn('child'))).toBe(false))
  })

  it('keeps output within the limit in all, beginning and end, and says that it was cut', async () => {
    const answer = await exec({ script: 'echo begin; yes | head -c 20000000; echo end; yes e | head -c 400000 >&2' })
    expect(answer).toMatchObject({ ok: true, truncated: true })
    const { stdout, stderr } = (answer.ok ? answer.output : {}) as { stdout: string; stderr: string }
    expect(Buffer.byteLength(stdout + stderr)).toBeLessThanOrEqual(limits.outputBytes)
    expect(stdout).toMatch(/^begin\ny\n/)
    expect(stdout).toMatch(/y\nend\n$/)
    const binary = await exec({ command: 'head', args: ['-c', '300000', '/dev/urandom'] })
    const text = (binary.ok ? binary.output : {}) as { stdout: string }
    expect(Buffer.byteLength(text.stdout)).toBeLessThanOrEqual(limits.outputBytes)
  })
})
