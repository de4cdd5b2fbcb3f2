import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { expect, test } from 'vitest'

const program = `
import { createLogger } from ${JSON.stringify(new URL('index.ts', import.meta.url).href)}
const log = createLogger('test')
for (let line = 0; line < 1000; line++) log.info({ text: 'x'.repeat(10_000) }, 'said')
process.exitCode = 7
`

test('a program whose log cannot be written goes on without it', async () => {
  const full = openSync('/dev/full', 'w')
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'ignore', full] })
  closeSync(full)
  expect(await new Promise((done) => child.once('exit', done))).toBe(7)
})
