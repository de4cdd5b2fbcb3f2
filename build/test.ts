/**
 * Runs the tests and ends with the line `N passed, N failed`. Quiet when all is green; a failing test is printed with
 * its error, and so is every skipped one with its name, so that nothing passes by not running.
 *
 * With K8SCLAW_TEST_AGAIN=1 a few files that failed are tried once more, alone. What fails twice has failed; what then
 * passes is printed all the same, with its first error: it is a race of the test or of what it tests, and due to be mended.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { kubectl } from './kubectl.ts'

/**
 * Where Node keeps what it compiled, of the runner and of the programs that the tests start hundreds of times from their
 * sources: half of what such a start costs.
 */
const compiled = resolve('node_modules/.cache/k8sclaw-compiled')

/** More broken files than this are no race. */
const filesTriedAgain = 4

interface FileReport {
  name: string
  status: string
  assertionResults: { status: string; fullName: string }[]
}

interface Run {
  /** Whether the runner itself ended well. */
  ok: boolean
  /** Absent where it broke before it could say anything. */
  files: FileReport[] | undefined
  printed: string
}

const folder = mkdtempSync(join(tmpdir(), 'k8sclaw-test-'))
try {
  const projects = process.argv.slice(2)
  const first = run('first', projects)
  let files = first.files ?? []
  let ok = first.ok
  if (!ok) process.stdout.write(first.printed)
  const broken = files.filter((file) => file.status === 'failed')
  if (process.env.K8SCLAW_TEST_AGAIN === '1' && broken.length > 0 && broken.length <= filesTriedAgain) {
    const again = run('again', [...projects.filter((arg) => arg.startsWith('-')), ...broken.map((file) => file.name)])
    const twice = new Set(again.files?.flatMap(failures))
    for (const name of broken.flatMap(failures)) {
      if (again.files && !twice.has(name)) console.log(`passed when tried again: ${name}`)
    }
    files = [...files.filter((file) => !broken.includes(file)), ...(again.files ?? broken)]
    ok = again.ok
  }
  const tests = files.flatMap((file) => file.assertionResults)
  for (const test of tests) {
    if (test.status === 'skipped' || test.status === 'pending') console.log(`skipped: ${test.fullName}`)
  }
  const passed = tests.filter((test) => test.status === 'passed').length
  const failed = files.flatMap(failures).length
  console.log(`${passed} passed, ${failed === 0 && !ok ? 1 : failed} failed`)
  process.exitCode = failed === 0 && ok ? 0 : 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}

function run(name: string, args: string[]): Run {
  const outputFile = join(folder, `${name}.json`)
  const reporters = ['--silent=passed-only', '--reporter=dot', '--reporter=json', `--outputFile=${outputFile}`]
  const { status, stdout, stderr } = spawnSync('vitest', ['run', ...reporters, ...args], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    // Found once, or fetched, here: test files run side by side.
    env: { ...process.env, KUBECTL: kubectl(), NODE_COMPILE_CACHE: compiled },
  })
  let files: FileReport[] | undefined
  try {
    files = (JSON.parse(readFileSync(outputFile, 'utf8')) as { testResults: FileReport[] }).testResults
  } catch {
    files = undefined
  }
  return { ok: status === 0 && files !== undefined, files, printed: `${stdout}\n${stderr}\n` }
}

/** The tests that failed in a file, or the file itself where it failed before any of them did, such as one that does not load. */
function failures(file: FileReport): string[] {
  const failed = file.assertionResults.filter((test) => test.status === 'failed').map((test) => test.fullName)
  return failed.length === 0 && file.status === 'failed' ? [file.name] : failed
}
