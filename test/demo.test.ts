import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { processesOf } from './support/platform.ts'

const demo = resolve(import.meta.dirname, '..', 'examples', 'demo', 'main.ts')

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'k8sclaw-demo-test-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe('what make demo runs', () => {
  test('ends with Succeeded, the result and the time of each stage', async () => {
    const { code, said } = await run()
    expect(said).toContain('(I am the offline demo model of K8sClaw')
    expect(said).toMatch(/\n +run created to first tool call +\d+\.\d\d s\n/)
    expect(said).toMatch(/\nphase: Succeeded\nwall time: \d+\.\d s\n$/)
    expect(code).toBe(0)
    expect(readdirSync(folder)).toEqual([])
  })

  test.each([
    ['starts', '== starting the platform'],
    ['works', '-> exec'],
  ])('stops what it started when it is interrupted while it %s', async (_, seen) => {
    const { code, said } = await run((child) => void child.kill('SIGINT'), seen)
    expect(said).toContain('error: interrupted by SIGINT\n')
    expect(code).toBe(1)
    expect(processesOf(folder)).toEqual([])
    expect(readdirSync(folder)).toEqual([])
  })
})

/** Runs it to its end with a temporary folder of its own; `then` is called once, when it has said this. */
function run(then: (child: ChildProcess) => void = () => undefined, seen = '== starting') {
  return new Promise<{ code: number | null; said: string }>((done, fail) => {
    const child = spawn(process.execPath, [demo], { env: { ...process.env, TMPDIR: folder } })
    let said = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        const before = said.includes(seen)
        said += text
        if (!before && said.includes(seen)) then(child)
      })
    child.on('error', fail)
    child.on('close', (code) => done({ code, said }))
  })
}
