/** Writes the generated manifests: the CRDs from the kinds, the roles from the table of rights, the rendered overlays, and the description of the HTTP API. `make verify` runs it and compares. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { stringify } from 'yaml'
import { customResourceDefinitions } from '#core/kinds'
import { openApiText } from '../programs/apiserver/openapi/text.ts'
import { kubectl } from './kubectl.ts'
import { writeMigrations } from './migrations.ts'
import { rbacManifests } from './rbac/manifests.ts'

writeMigrations()

mkdirSync('config/crd/bases', { recursive: true })
for (const [file, definition] of customResourceDefinitions()) {
  const text = stringify(definition, { lineWidth: 0, aliasDuplicateObjects: false })
  writeFileSync(`config/crd/bases/${file}`, `# Generated from core/kinds by \`make manifests\`; do not edit.\n${text}`)
}

for (const [file, text] of rbacManifests()) writeFileSync(`config/rbac/${file}`, text)

mkdirSync('config/rendered', { recursive: true })
for (const overlay of ['standalone', 'default']) {
  const rendered = execFileSync(kubectl(), ['kustomize', `config/${overlay}`], { encoding: 'utf8' })
  writeFileSync(
    `config/rendered/${overlay}.yaml`,
    `# Generated from config/${overlay} by \`make manifests\`; do not edit.\n${rendered}`,
  )
}

writeFileSync('docs/openapi.json', openApiText())
