import { spawnSync } from 'node:child_process'
import { Command, Option } from 'commander'
import { describe, expect, test } from 'vitest'
import { completionScript } from './completion.ts'

const program = new Command('k8sclaw')
const runs = program.command('runs')
runs.command('list').alias('ls').option('-n, --namespace <name>').option('-A, --all-namespaces')
runs
  .command('get')
  .argument('<name>')
  .option('-n, --namespace <name>')
  .addOption(new Option('-o, --output <format>').choices(['table', 'yaml', 'name']))
program.command('run').argument('<task>').option('-f, --follow').option('--instance <name>')
program
  .command('usage')
  .addOption(new Option('-o, --output <format>').choices(['table', 'yaml']))
  .option('-f, --file <file>')
program.command('completion').addArgument(program.createArgument('[shell]').choices(['bash', 'zsh']))

/** What is offered for the last of the words, as the shell calls it. */
function offered(shell: string[], words: string[]): string[] {
  const quoted = words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
  const call = `COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; COMPREPLY=(); _k8sclaw; echo "\${COMPREPLY[@]}"`
  const [command = '', ...args] = shell
  const { stdout, stderr } = spawnSync(command, [...args, `${completionScript(program)}\n${call}`], {
    encoding: 'utf8',
  })
  expect(stderr).toBe('')
  // Zsh itself leaves out what does not begin so.
  const begun = words.at(-1)?.replace('=', '') ?? ''
  return stdout.split(/\s+/).filter((word) => word !== '' && (shell[0] === 'bash' || word.startsWith(begun)))
}

// As bashcompinit calls it; without the terminal there is nobody to ask about the folders of the functions.
const zsh = ['zsh', '-fc', 'autoload -U +X compinit && compinit -u -D; setopt ksharrays; eval "$1"', 'zsh']
// What another machine has bash read first is not ours, as it does where it takes a socket for somebody far away.
const shells = { bash: ['bash', '--norc', '-euc'], zsh }

describe.each(Object.entries(shells))('in %s', (name, shell) => {
  test.skipIf(spawnSync(name, ['--version']).error)('commands, flags and their values are completed', () => {
    const cases: [string[], string[]][] = [
      [[''], ['runs', 'run', 'usage', 'completion']],
      [['ru'], ['runs', 'run']],
      [
        ['runs', ''],
        ['list', 'get'],
      ],
      [
        ['runs', 'ls', '-'],
        ['--namespace', '--all-namespaces'],
      ],
      [
        ['completion', ''],
        ['bash', 'zsh'],
      ],
      // What stands between, even if it is named as a command is.
      [['runs', 'get', '-n', 'get', '--o'], ['--output']],
      [['run', 'do it', '--f'], ['--follow']],
      [['run', 'runs', '--f'], ['--follow']],
      [['runs', 'get', "it's", '--o'], ['--output']],
      // A flag that takes a value in one command takes none in another.
      [['run', '-f', '--in'], ['--instance']],
      [['usage', '-f', ''], []],
      [['runs', 'get', '-n', ''], []],
      [
        ['runs', 'get', '-o', ''],
        ['table', 'yaml', 'name'],
      ],
      [
        ['usage', '-o', ''],
        ['table', 'yaml'],
      ],
      // Bash makes words of `--output=y`.
      [['runs', 'get', '--output', '=', 'y'], ['yaml']],
      [
        ['runs', 'get', '--output', '='],
        ['table', 'yaml', 'name'],
      ],
    ]
    for (const [words, wanted] of cases) expect([words, offered(shell, ['k8sclaw', ...words])]).toEqual([words, wanted])
  })
})
