/** Writes core/store/migrations.generated.ts from migrations/*.sql: an image holds one bundle and no other file. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const folder = 'migrations'
const target = 'core/store/migrations.generated.ts'

/** Writes the file anew; `make manifests` and `make verify` call it. */
export function writeMigrations(): void {
  const names = readdirSync(folder)
    .filter((name) => name.endsWith('.sql'))
    .sort()
  const entries = names.map((name) => {
    const text = readFileSync(join(folder, name), 'utf8')
    return `  {\n    name: '${name.slice(0, -'.sql'.length)}',\n    statements: ${quoted(text)},\n  },\n`
  })
  writeFileSync(
    target,
    `// Generated from migrations/*.sql by \`make manifests\`; do not edit.
export interface Migration {
  name: string
  statements: string
}

/** In the order in which they are applied. */
export const migrations: readonly Migration[] = [
${entries.join('')}]
`,
  )
}

function quoted(text: string): string {
  return `\`${text.replace(/[\\`]|\$\{/g, '\\$&')}\``
}
