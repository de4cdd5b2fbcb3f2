import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RunClaims, signRunToken } from '#core/identity'
import { Callers } from './callers.ts'

const start = Date.parse('2026-01-01T00:00:00Z')
const claims: RunClaims = {
  uid: 'u-1',
  run: 'run-1',
  namespace: 'team',
  instance: 'bot',
  attempt: 1,
  provider: 'openai',
  models: ['m'],
  exp: start / 1000 + 60,
}

function keys() {
  const pair = generateKeyPairSync('ed25519')
  return {
    public: pair.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    private: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

describe('who calls, by a token that was verified before', () => {
  let folder: string
  let file: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'k8sclaw-callers-'))
    file = join(folder, 'key.pem')
  })
  afterAll(() => rm(folder, { recursive: true }))

  it('is told again, until the token ends', async () => {
    const key = keys()
    await writeFile(file, key.public)
    let now = start
    const callers = new Callers(file, () => new Date(now))
    const authorization = `Bearer ${signRunToken(key.private, claims)}`
    expect(await callers.claimsOf(authorization)).toEqual(claims)
    expect(await callers.claimsOf(authorization)).toEqual(claims)
    now = start + 60_000
    await expect(callers.claimsOf(authorization)).rejects.toThrow('has expired')
    await expect(callers.claimsOf(authorization)).rejects.toThrow('has expired')
  })

  it('is refused once the key is another', async () => {
    const [old, next] = [keys(), keys()]
    await writeFile(file, old.public)
    let now = start
    const callers = new Callers(file, () => new Date(now))
    const authorization = `Bearer ${signRunToken(old.private, claims)}`
    expect((await callers.claimsOf(authorization)).uid).toBe('u-1')
    await writeFile(file, next.public)
    now += 6_000
    await expect(callers.claimsOf(authorization)).rejects.toMatchObject({ code: 'unauthenticated' })
    const renewed = `Bearer ${signRunToken(next.private, { ...claims, uid: 'u-2' })}`
    expect((await callers.claimsOf(renewed)).uid).toBe('u-2')
  })

  it('is nobody for a token that differs in its signature alone', async () => {
    const key = keys()
    await writeFile(file, key.public)
    const callers = new Callers(file, () => new Date(start))
    const token = signRunToken(key.private, claims)
    await callers.claimsOf(`Bearer ${token}`)
    const body = token.slice(0, token.lastIndexOf('.'))
    const forged = `${body}.${signRunToken(keys().private, claims).slice(body.length + 1)}`
    await expect(callers.claimsOf(`Bearer ${forged}`)).rejects.toMatchObject({ code: 'unauthenticated' })
  })
})
