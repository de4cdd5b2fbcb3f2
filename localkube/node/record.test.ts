import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { readRecord, writeRecord } from './record.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'localkube-record-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

it('a record comes back as it was written, and a missing or broken one is none', async () => {
  const record = { pid: 1, processStart: '2', restartCount: 3, startedAt: 'now', exitCode: 0, finishedAt: 'later' }
  writeRecord(join(folder, 'r.json'), record)
  expect(readRecord(join(folder, 'r.json'))).toEqual(record)
  expect(readRecord(join(folder, 'absent.json'))).toBeUndefined()
})
