import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { secretChanged } from './secret-watch.ts'

const everyMs = 5
const names = ['TOKEN', 'URL']
let dir: string
let stop: AbortController
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'channel-secret-'))
  stop = new AbortController()
})
afterEach(async () => {
  stop.abort()
  await rm(dir, { recursive: true })
})

/** All at once, as a kubelet does. */
const put = async (name: string, text: string) => {
  await writeFile(join(dir, '.next'), text)
  await rename(join(dir, '.next'), join(dir, name))
}
const watch = (env: Record<string, string>) => secretChanged({ dir, env, names, signal: stop.signal, everyMs })
const looks = (count: number) => sleep(count * everyMs * 4)

it('tells that a token was replaced', async () => {
  await put('TOKEN', 'old')
  const changed = watch({ TOKEN: 'old' })
  await looks(2)
  await put('TOKEN', 'new')
  await changed
})

it('tells that a key came, or went', async () => {
  await put('TOKEN', 'it')
  const came = watch({ TOKEN: 'it' })
  await looks(2)
  await put('URL', 'https://chat.example')
  await came
  const went = watch({ TOKEN: 'it', URL: 'https://chat.example' })
  await looks(2)
  await rm(join(dir, 'URL'))
  await went
})

it.each([
  ['files that only now say what the variables said from the start', { TOKEN: 'new' }, 'TOKEN'],
  ['a file that is no key', { TOKEN: 'old' }, 'OTHER'],
])('says nothing of %s', async (_, env, changes) => {
  await put('TOKEN', 'old')
  let told = false
  void watch(env).then(() => {
    told = true
  })
  await looks(2)
  await put(changes, 'new')
  await looks(5)
  expect(told).toBe(false)
})
