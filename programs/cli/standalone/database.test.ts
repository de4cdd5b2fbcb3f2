import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort } from '../../../test/support/ports.ts'

let folder: string
const started: ChildProcess[] = []
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'k8sclaw-database-'))
})
afterAll(async () => {
  for (const child of started) if (child.exitCode === null) child.kill('SIGKILL')
  await rm(folder, { recursive: true })
})

test('the folder of a database that was stopped is copied, and the copy is that database', async () => {
  const original = join(folder, 'original')
  const first = await serve(original)
  await first.ask('create table notes (text text)')
  await first.ask("insert into notes values ('kept')")
  await first.stop()
  const copy = join(folder, 'copy')
  await cp(original, copy, { recursive: true })
  const second = await serve(copy)
  expect(await second.ask('select text from notes')).toEqual([{ text: 'kept' }])
  await second.ask("insert into notes values ('of the copy')")
  await second.stop()
  const third = await serve(original)
  expect(await third.ask('select text from notes')).toEqual([{ text: 'kept' }])
  await third.stop()
}, 120_000)

/** The program itself on that folder, asked once it answers. */
async function serve(data: string) {
  const port = await freePort()
  const main = join(import.meta.dirname, 'database.ts')
  const env = { ...process.env, DATABASE_PASSWORD: 'of-the-test' }
  const args = [main, '--listen', `127.0.0.1:${port}`, '--data', data]
  const child = spawn(process.execPath, args, { stdio: 'ignore', env })
  started.push(child)
  const ask = async (text: string) => {
    const client = new Client({ connectionString: `postgres://postgres:of-the-test@127.0.0.1:${port}/postgres` })
    await client.connect()
    try {
      return (await client.query(text)).rows as unknown[]
    } finally {
      await client.end()
    }
  }
  await expect.poll(() => ask('select 1').catch(() => undefined), { timeout: 60_000 }).toBeDefined()
  const stop = async () => {
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
  return { ask, stop }
}
