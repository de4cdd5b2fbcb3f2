/** `make test-kubernetes`: the tests against a real kube-apiserver, where there is one or one can be built. */
import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { kubernetesAssets } from './assets.ts'

let assets: ReturnType<typeof kubernetesAssets>
try {
  assets = kubernetesAssets((sentence) => console.error(`k8sclaw: ${sentence}`))
} catch (error) {
  console.error(`k8sclaw: ${error instanceof Error ? error.message : String(error)}`)
  process.exit(1)
}
if (assets) {
  const runner = resolve(import.meta.dirname, '..', '..', 'build', 'test.ts')
  const args = [runner, '--project=kubernetes', ...process.argv.slice(2)]
  process.exitCode = spawnSync(process.execPath, args, { stdio: 'inherit' }).status ?? 1
} else {
  console.log('k8sclaw: no tests against a real Kubernetes: set KUBEBUILDER_ASSETS, or install Go 1.26, to have them')
}
