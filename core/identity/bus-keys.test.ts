import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  busPermissions,
  createUserKey,
  identityRequest,
  mintBusKeys,
  readBusKeys,
  runFiles,
  runSubjects,
} from './index.ts'

test('minted keys are read back from a folder, and a missing file is named', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'k8sclaw-keys-'))
  try {
    const keys = mintBusKeys()
    for (const [name, text] of Object.entries(keys)) {
      if (name !== 'signing.seed') await writeFile(join(folder, name), text)
    }
    await expect(readBusKeys(folder)).rejects.toThrow('signing.seed')
    await writeFile(join(folder, 'signing.seed'), `${keys['signing.seed']}\n`)
    const read = await readBusKeys(folder)
    expect(read['signing.seed']).toBe(keys['signing.seed'])
    const { 'nats.conf': _, ...signing } = keys
    expect(Object.keys(read).sort()).toEqual(Object.keys(signing).sort())
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('the server configuration holds no seed', () => {
  const keys = mintBusKeys()
  expect(keys['nats.conf']).not.toContain(keys['signing.seed'])
  expect(keys['nats.conf']).not.toMatch(/\bS[OAU][A-Z2-7]{56}\b/)
})

test('a request names a user key and nothing else', () => {
  const { publicKey, seed } = createUserKey()
  expect(identityRequest.safeParse({ userPublicKey: publicKey }).success).toBe(true)
  for (const bad of [{}, { userPublicKey: seed }, { userPublicKey: 'U' }, { userPublicKey: publicKey, seed }]) {
    expect(identityRequest.safeParse(bad).success).toBe(false)
  }
})

test('names that would shift subject levels are refused, and no identity is given a wildcard over runs it does not own', () => {
  const run = { namespace: 'team', instance: 'bot', uid: 'u-1' }
  for (const bad of [
    { ...run, instance: 'a.b' },
    { ...run, namespace: '*' },
    { ...run, uid: '>' },
    { ...run, uid: 'a b' },
    { ...run, instance: '' },
  ]) {
    expect(() => runSubjects(bad)).toThrow(RangeError)
    expect(() => busPermissions({ kind: 'bridge', run: bad }, 'U')).toThrow(RangeError)
  }
  const { publish, subscribe } = busPermissions({ kind: 'bridge', run }, 'UKEY')
  expect(subscribe).toEqual(['_INBOX_UKEY.>'])
  // Of files, which chunk of which: below the run's own name alone.
  expect(publish.filter((subject) => /\*/.test(subject.slice(0, subject.indexOf('u-1'))))).toEqual([])
  expect(publish.filter((subject) => subject.includes('*'))).toEqual([runFiles(run).write, runFiles(run).read])
  expect(publish.every((subject) => subject.includes('u-1'))).toBe(true)
})
