import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { expect, test } from 'vitest'
import { fullDisk, untilFull } from './room.ts'

// A file system with no room at all, which every Linux has.
const full = '/proc'

test('a disk without room is said to be full, with how much there is; one with room is not', () => {
  expect(fullDisk(full)).toBe('the disk of /proc is full: 0 KiB are free')
  expect(fullDisk(tmpdir())).toBeUndefined()
})

test('whoever waits is told when the disk is full', async () => {
  using room = untilFull(full)
  await once(room.signal, 'abort')
  expect(room.signal.aborted).toBe(true)
})
