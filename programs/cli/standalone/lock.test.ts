import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runningOn, takeLock } from './lock.ts'

/** A process that takes the folders it is told, and says whether it got each. */
const script = `
const { takeLock } = await import(${JSON.stringify(new URL('./lock.ts', import.meta.url).href)})
const kept = []
process.on('message', (folder) => {
  try {
    kept.push(takeLock(folder))
    process.send('taken')
  } catch (error) {
    process.send(error.message)
  }
})
process.send('ready')
`

let root: string
let starters: ChildProcess[]

async function start(): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['--no-warnings', '--input-type=module-typescript', '-e', script], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  await once(child, 'message')
  return child
}

async function ask(child: ChildProcess, folder: string): Promise<string> {
  const answer = once(child, 'message')
  child.send(folder)
  return String((await answer)[0])
}

function makeFolder(name: string, owner?: { pid: number; startTime: string }): string {
  const folder = join(root, name)
  mkdirSync(folder)
  if (owner) writeFileSync(join(folder, 'lock'), `${JSON.stringify(owner)}\n`)
  return folder
}

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'k8sclaw-lock-'))
  starters = await Promise.all([start(), start(), start()])
})
afterAll(() => {
  for (const child of starters ?? []) child.kill('SIGKILL')
  rmSync(root, { recursive: true, force: true })
})

const gone = { pid: 4_194_304, startTime: '1' }

test.each([
  ['free', undefined],
  ['stale', gone],
])('of several that start at once on a folder that is %s exactly one gets it', async (name, owner) => {
  for (let round = 0; round < 40; round++) {
    const folder = makeFolder(`${name}-${round}`, owner)
    const answers = await Promise.all(starters.map((child) => ask(child, folder)))
    expect(answers.filter((answer) => answer === 'taken')).toHaveLength(1)
    for (const answer of answers) expect(answer).toMatch(/^taken$|^k8sclaw already runs on .*; stop it with: /)
    const pids = starters.filter((_, i) => answers[i] === 'taken').map(({ pid }) => pid)
    expect([runningOn(folder)?.pid]).toEqual(pids)
  }
})

test('a lock ends with its process, however that ends, and says so to the next', async () => {
  const folder = makeFolder('killed')
  const child = await start()
  expect(await ask(child, folder)).toBe('taken')
  expect(() => takeLock(folder)).toThrow(`already runs on ${folder} (pid ${child.pid})`)
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
  expect(runningOn(folder)).toBeUndefined()

  const next = takeLock(folder)
  expect(next.wasStale).toBe(true)
  expect(runningOn(folder)?.pid).toBe(process.pid)
  next.release()
  expect(existsSync(join(folder, 'lock'))).toBe(false)
  const last = takeLock(folder)
  expect(last.wasStale).toBe(false)
  last.release()
})

test('an owner that lives is believed, also where nothing holds the lock of the kernel', () => {
  const folder = makeFolder('older')
  const lock = takeLock(folder)
  rmSync(join(folder, 'lock.db'))
  expect(() => takeLock(folder)).toThrow(`already runs on ${folder} (pid ${process.pid})`)
  lock.release()
})

test('a process that got the pid of one that is gone is not taken for it', () => {
  const folder = makeFolder('reused', { pid: process.pid, startTime: '1' })
  expect(runningOn(folder)).toBeUndefined()
  const lock = takeLock(folder)
  expect(lock.wasStale).toBe(true)
  lock.release()
})
