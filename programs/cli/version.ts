import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The version of this installation, from the package.json above this file. */
export function versionText(): string {
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) {
    try {
      const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
        name?: string
        version?: string
      }
      if (name === 'k8sclaw' && version) return `k8sclaw ${version} (Node ${process.versions.node})`
    } catch {
      // Not in this folder: the next one up may have it.
    }
  }
  return `k8sclaw (version unknown; Node ${process.versions.node})`
}
