import type { FeatureGate } from '#core/kinds'
import { matchesGlob } from './glob.ts'

/** Which gate a tool belongs to: the first glob that matches. A tool of no gate is governed by the rules alone. */
const gateTable: readonly (readonly [glob: string, gate: FeatureGate])[] = [
  ['exec', 'code-execution'],
  ['*_file*', 'file-access'],
  ['memory_*', 'memory'],
]

/** Gates whose tools the sandbox performs: where a run has none, they do not exist. */
const performedBySandbox: ReadonlySet<FeatureGate> = new Set(['code-execution', 'file-access'])

/** The feature gate that must be on for `tool`, if there is one. */
export function gateOf(tool: string): FeatureGate | undefined {
  return gateTable.find(([glob]) => matchesGlob(glob, tool))?.[1]
}

/** Whether `tool` is performed by the sandbox, so that it does not exist in a run without one. */
export function needsSandbox(tool: string): boolean {
  const gate = gateOf(tool)
  return gate !== undefined && performedBySandbox.has(gate)
}
