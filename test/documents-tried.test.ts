/** What the pages tell people to apply and to type, tried: the objects are admitted, and the commands exist. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse, parseAllDocuments, stringify } from 'yaml'
import { kubectl as findKubectl } from '../build/kubectl.ts'
import { type CommandLine, commandsOf, manifests } from './support/documents.ts'
import { execute, k8sclawBinary, startTestPlatform, type TestPlatform } from './support/platform.ts'

interface Described {
  apiVersion?: string
  kind?: string
  metadata?: object
  spec?: object
}

let platform: TestPlatform
beforeAll(async () => {
  platform = await startTestPlatform()
  // Whoever reads on has followed the README, is bound by its policy, and lets their own agent in as its page says.
  const policy = parse(readFileSync('config/samples/clawpolicy_sample.yaml', 'utf8')) as { spec: object }
  const imagePolicy = { allowed: ['registry.example.com/agents/sh'] }
  await platform.apply({ ...policy, spec: { ...policy.spec, imagePolicy } })
})
afterAll(() => platform?.close())

test('every object of the pages is admitted, and every sample', async () => {
  const served: string[] = (await platform.kubectl(['api-resources', '--no-headers'])).match(/\S+$/gm) ?? []
  const refused: string[] = []
  for (const { path, text } of manifests()) {
    for (const document of parseAllDocuments(text)) {
      expect(document.errors, path).toEqual([])
      const object = document.toJS() as Described
      // Of kinds that localkube does not have, and of files of other programs, nothing is known here.
      if (object.kind === undefined || !served.includes(object.kind)) continue
      const { code, stderr } = await platform.tryKubectl(['apply', '--dry-run=server', '-f', '-'], whole(object))
      if (code !== 0) refused.push(`${path}: ${object.kind}: ${stderr.trim()}`)
    }
  }
  expect(refused).toEqual([])
  await platform.kubectl(['apply', '--dry-run=server', '--recursive', '-f', 'config/samples'])
})

test('every command of k8sclaw in the pages exists, with its flags', async () => {
  const wrong = await misfits(commandsOf('k8sclaw'), async (words) => {
    const { stdout, stderr } = await execute(k8sclawBinary, [...words, '--help'])
    return stdout + stderr
  })
  expect(wrong).toEqual([])
})

test('every command of kubectl in the pages exists, with its flags', async () => {
  const kubectl = findKubectl()
  const { stdout: everywhere } = await execute(kubectl, ['options'])
  const wrong = await misfits(commandsOf('kubectl'), async (words) => {
    const { stdout, stderr } = await execute(kubectl, [...words, '--help'])
    return stdout + stderr + everywhere
  })
  expect(wrong).toEqual([])
})

test('every target of make in the pages exists', () => {
  const targets: string[] = readFileSync('Makefile', 'utf8').match(/^[\w-]+(?=:)/gm) ?? []
  const wanted = commandsOf('make').flatMap(({ words }) => words.filter((word) => /^[a-z][a-z-]*$/.test(word)))
  expect(wanted.filter((target) => !targets.includes(target))).toEqual([])
})

/** What a page leaves out because it is about something else. */
function whole({ apiVersion = 'k8sclaw.io/v1alpha1', metadata = {}, ...object }: Described): string {
  const agents = { default: { model: { provider: 'demo', name: 'demo' }, sandbox: { enabled: true } } }
  const spec = object.kind === 'ClawInstance' ? { spec: { agents, ...object.spec } } : {}
  return stringify({ ...object, apiVersion, metadata: { name: 'example', ...metadata }, ...spec })
}

/** Commands whose help, which `helpOf` gives for the words before and between the flags, does not know them. */
async function misfits(commands: CommandLine[], helpOf: (words: string[]) => Promise<string>): Promise<string[]> {
  const helps = new Map<string, Promise<string>>()
  const wrong: string[] = []
  for (const { path, words } of commands) {
    const flags = words.filter((word) => /^--?[a-z]/i.test(word)).map((word) => word.replace(/=.*$/, ''))
    const plain = words.filter((word, at) => /^[a-z][\w-]*$/.test(word) && !/^-(n|-context)$/.test(words[at - 1] ?? ''))
    const key = plain.join(' ')
    const help = await (helps.get(key) ?? helps.set(key, helpOf(plain)).get(key))
    // The usage names the words that are commands; one that is none is left over where a command is still wanted.
    const [, named = '', open] =
      help?.match(/^\s*(?:Usage:\s+)?(?:k8sclaw|kubectl)((?: [a-z-]+)*)(.*\[command\])?/m) ?? []
    const known = open
      ? plain.length === named.split(' ').length - 1
      : plain.length === 0 || named.startsWith(` ${plain[0]}`)
    const strange = flags.filter((flag) => !new RegExp(`(?:^|[\\s,])${flag}(?![\\w-])`, 'm').test(help ?? ''))
    if (!known || strange.length > 0) wrong.push(`${path}: ${words.join(' ')} [${strange}]`)
  }
  return wrong
}
