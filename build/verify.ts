/** Regenerates everything that is generated and fails where the committed files differ. */
import { execFileSync, spawnSync } from 'node:child_process'

const generated = ['config/crd/bases', 'config/rendered']
execFileSync('node', ['build/manifests.ts'], { stdio: 'inherit' })
const diff = spawnSync('git', ['status', '--porcelain', '--', ...generated], { encoding: 'utf8' })
if (diff.status !== 0 || diff.stdout !== '') {
  process.stderr.write(
    `${diff.stderr}generated files differ from their source; run \`make manifests\` and commit:\n${diff.stdout}`,
  )
  process.exit(1)
}
