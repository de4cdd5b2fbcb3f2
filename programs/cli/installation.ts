import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ClawError } from '#core/errors'

/** The folder that holds dist/, config/ and examples/: the checkout, found upwards from this program's file. */
export function installationRoot(): string {
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) {
    if (existsSync(join(folder, 'config', 'rendered', 'standalone.yaml'))) return folder
  }
  throw new ClawError(
    'unavailable',
    'config/rendered/standalone.yaml is not beside this program; run it from a checkout',
  )
}
