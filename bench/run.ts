/**
 * `make bench`: takes every figure that can be taken on this machine, one after the other, writes them to
 * bench/results/latest.json and prints them as a table. `node bench/run.ts NAME...` takes only those named and
 * writes no file.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { admission } from './admission.ts'
import { channels } from './channels.ts'
import { cliHelp, cliRunsList } from './command-line.ts'
import { controlPlane } from './control-plane.ts'
import { type Bench, type Figure, isSkip, reasonOf } from './figures.ts'
import { memorySearch } from './memory-search.ts'
import { platformFigures } from './platform-figures.ts'
import { policyPerCall } from './policy-per-call.ts'
import { proxyOverhead } from './proxy-overhead.ts'
import { streamFanOut } from './stream-fan-out.ts'
import { upSecondStart } from './up-second-start.ts'

const benches: Bench[] = [
  policyPerCall,
  admission,
  proxyOverhead,
  cliHelp,
  cliRunsList,
  upSecondStart,
  memorySearch,
  platformFigures,
  streamFanOut,
  channels,
  controlPlane,
]

const { positionals: wanted } = parseArgs({ allowPositionals: true })
const unknown = wanted.filter((name) => !benches.some((bench) => bench.figures.includes(name)))
if (unknown.length > 0) {
  process.stderr.write(
    `no such figure: ${unknown.join(', ')}; there are ${benches.flatMap((b) => b.figures).join(', ')}\n`,
  )
  process.exit(2)
}

// A machine that does something else as well is slower than it could be: the figures are read beside its load.
const [load = 0] = loadavg()
const figures: Record<string, Figure> = {}
const skipped: Record<string, string> = {}
for (const bench of benches) {
  const names = bench.figures.filter((name) => wanted.length === 0 || wanted.includes(name))
  if (names.length === 0) continue
  process.stderr.write(`measuring ${names.join(', ')}\n`)
  try {
    const taken = await bench.take(names)
    for (const name of names) {
      const figure = taken[name] ?? { skipped: 'it was not taken' }
      if (isSkip(figure)) skipped[name] = figure.skipped
      else figures[name] = figure
    }
  } catch (error) {
    for (const name of names) skipped[name] = reasonOf(error)
  }
}

const [cpu] = cpus()
const report = {
  date: new Date().toISOString(),
  machine: {
    cpus: cpus().length,
    model: cpu?.model ?? 'unknown',
    memoryMiB: Math.round(totalmem() / 1024 / 1024),
    node: process.version,
    kernel: `${process.platform} ${process.arch}`,
    loadAtStart: load,
  },
  mode: 'standalone',
  figures,
  skipped,
}
if (wanted.length === 0) {
  const folder = join(import.meta.dirname, 'results')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'latest.json'), `${JSON.stringify(report, null, 2)}\n`)
}

const header = ['figure', 'unit', 'p50', 'p90', 'p99', 'n', 'reference', 'ratio']
const rows = Object.entries(figures).map(([name, f]) =>
  [name, f.unit, f.p50, f.p90, f.p99, f.n, f.reference, f.ratio].map(String),
)
const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)))
for (const row of [header, ...rows]) {
  const cells = row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
  process.stdout.write(`${cells.join('  ')}\n`)
}
for (const [name, reason] of Object.entries(skipped)) process.stdout.write(`skipped ${name}: ${reason}\n`)
// What was started is closed by now; a connection that has not heard of it must not keep the bench.
process.exit()
