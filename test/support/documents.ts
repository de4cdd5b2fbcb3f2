/** The pages that people read, and what of them can be tried. */
import { globSync, readFileSync } from 'node:fs'

export interface Page {
  path: string
  text: string
}

/** A fenced block, without the indentation of the list that it stands in. */
export interface Block {
  path: string
  language: string
  text: string
}

/** A command as a page has it: of a block of `sh`, or in backticks. */
export interface CommandLine {
  path: string
  words: string[]
}

export const pages: Page[] = ['*.md', 'docs/**/*.md', 'examples/**/*.md', 'localkube/*.md']
  .flatMap((pattern) => globSync(pattern))
  .sort()
  .map((path) => ({ path, text: readFileSync(path, 'utf8') }))

export const blocks: Block[] = pages.flatMap(({ path, text }) =>
  [...text.matchAll(/^( *)```(\w*)\n([\s\S]*?)^\1```/gm)].map(([, indent = '', language = '', body = '']) => ({
    path,
    language,
    text: body.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  })),
)

/** What stands in backticks, blocks apart. */
export function quoted({ text }: Page): string[] {
  const prose = text.replaceAll(/^( *)```[\s\S]*?^\1```/gm, '')
  return [...prose.matchAll(/`([^`]+)`/g)].map(([, words = '']) => words.replaceAll(/\s+/g, ' '))
}

/** Every command of a program that the pages tell somebody to type. */
export function commandsOf(program: string): CommandLine[] {
  const typed = blocks
    .filter(({ language }) => language === 'sh')
    .flatMap(({ path, text }) => {
      const lines = text
        .replaceAll('\\\n', ' ')
        .replaceAll(/<<'EOF'[\s\S]*?^EOF$/gm, '')
        .split('\n')
      return lines.map((line) => ({ path, line }))
    })
  const named = pages.flatMap((page) => quoted(page).map((line) => ({ path: page.path, line })))
  return [...typed, ...named].flatMap(({ path, line }) =>
    // A line may hold several: behind one another, in a pipe, or in `$(...)`.
    line.split(/\||;|&&|\$\(|\)/).flatMap((command) => {
      const [first = '', ...words] = split(command.replace(/\s#.*$/, '').trim())
      return first.replace(/^bin\//, '') === program && words.length > 0 ? [{ path, words }] : []
    }),
  )
}

/** A YAML document that a block, or what a block hands to `kubectl apply -f -`, holds. */
export function manifests(): { path: string; text: string }[] {
  return blocks.flatMap(({ path, language, text }) => {
    if (language === 'yaml') return [{ path, text }]
    return [...text.matchAll(/<<'EOF'\n([\s\S]*?)^EOF$/gm)].map(([, document = '']) => ({ path, text: document }))
  })
}

/** As a shell would, but for expansions; what may be left out, in brackets, is there. */
function split(command: string): string[] {
  return [...command.matchAll(/(?:[^\s'"]|'[^']*'|"[^"]*")+/g)]
    .map(([word]) => word.replaceAll(/['"]/g, ''))
    .map((word) => (/^\[?-/.test(word) ? word.replaceAll(/[[\]]/g, '') : word.replace(/^([A-Z]+)\]$/, '$1')))
}
