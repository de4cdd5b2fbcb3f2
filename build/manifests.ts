/** Writes the generated manifests: the CRDs from the kinds. `make verify` runs it and compares. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { stringify } from 'yaml'
import { customResourceDefinitions } from '#core/kinds'

const header = '# Generated from core/kinds by `make manifests`; do not edit.\n'
mkdirSync('config/crd/bases', { recursive: true })
for (const [file, definition] of customResourceDefinitions()) {
  writeFileSync(
    `config/crd/bases/${file}`,
    header + stringify(definition, { lineWidth: 0, aliasDuplicateObjects: false }),
  )
}
