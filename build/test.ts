/**
 * Runs the tests and ends with the line `N passed, N failed`. Quiet when all is green; a failing test is printed with
 * its error, and so is every skipped one with its name, so that nothing passes by not running.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kubectl } from './kubectl.ts'

interface Report {
  numPassedTests: number
  numFailedTests: number
  numFailedTestSuites: number
  testResults: {
    name: string
    status: string
    message?: string
    assertionResults: { status: string; fullName: string }[]
  }[]
}

const folder = mkdtempSync(join(tmpdir(), 'k8sclaw-test-'))
try {
  const outputFile = join(folder, 'report.json')
  const args = [
    'run',
    '--silent=passed-only',
    '--reporter=dot',
    '--reporter=json',
    `--outputFile=${outputFile}`,
    ...process.argv.slice(2),
  ]
  const { status, stdout, stderr } = spawnSync('vitest', args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    // Found once, or fetched, here: test files run side by side.
    env: { ...process.env, KUBECTL: kubectl() },
  })
  let report: Report | undefined
  try {
    report = JSON.parse(readFileSync(outputFile, 'utf8')) as Report
  } catch {
    report = undefined
  }
  if (status !== 0 || !report) process.stdout.write(`${stdout}\n${stderr}\n`)
  for (const file of report?.testResults ?? []) {
    for (const test of file.assertionResults) {
      if (test.status === 'skipped' || test.status === 'pending') console.log(`skipped: ${test.fullName}`)
    }
  }
  const failed = report ? report.numFailedTests + brokenFiles(report) : 1
  console.log(`${report?.numPassedTests ?? 0} passed, ${failed === 0 && status !== 0 ? 1 : failed} failed`)
  process.exitCode = failed === 0 && status === 0 ? 0 : 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}

/** Files that failed before any of their tests did, such as one that does not load. */
function brokenFiles(report: Report): number {
  return report.testResults.filter(
    (f) => f.status === 'failed' && !f.assertionResults.some((a) => a.status === 'failed'),
  ).length
}
