/**
 * Regenerates everything that is generated and fails where the committed files differ; and fails where a program of a
 * run's pod has been given a Kubernetes client, for none of them has anybody to ask with it.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const generated = [
  'config/crd/bases',
  'config/rbac',
  'config/rendered',
  'docs/openapi.json',
  'core/store/migrations.generated.ts',
]
const programsOfRuns = ['bridge', 'sandbox', 'agent']
const kubernetes = /(^|\/)(node_modules\/@kubernetes\/client-node|core\/kube)\//

const problems = [...generatedFiles(), ...bundles()]
for (const problem of problems) console.error(problem)
process.exit(problems.length > 0 ? 1 : 0)

function generatedFiles(): string[] {
  execFileSync('node', ['build/manifests.ts'], { stdio: 'inherit' })
  const diff = spawnSync('git', ['status', '--porcelain', '--', ...generated], { encoding: 'utf8' })
  if (diff.status === 0 && diff.stdout === '') return []
  return [
    `${diff.stderr}generated files differ from their source; run \`make manifests\` and commit:\n${diff.stdout.trim()}`,
  ]
}

function bundles(): string[] {
  execFileSync('node', ['build/bundle.ts', ...programsOfRuns], { stdio: ['ignore', 'ignore', 'inherit'] })
  return programsOfRuns.flatMap((program) => {
    const { outputs } = JSON.parse(readFileSync(`dist/${program}.meta.json`, 'utf8')) as Metafile
    const inputs = Object.values(outputs).flatMap((output) => Object.entries(output.inputs))
    const held = inputs.find(([path, { bytesInOutput }]) => bytesInOutput > 0 && kubernetes.test(path))
    return held ? [`dist/${program}.mjs holds ${held[0]}: the programs of a run's pod do not speak to Kubernetes`] : []
  })
}

/** What esbuild says it has put where. */
interface Metafile {
  outputs: Record<string, { inputs: Record<string, { bytesInOutput: number }> }>
}
