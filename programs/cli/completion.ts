import type { Command, Option } from 'commander'

/**
 * A completion script made from the command tree, so that it cannot lag behind: commands, flags and the values that a flag
 * takes. Bash reads it, and zsh by bashcompinit; the variables bear no name that is special to zsh.
 */
export function completionScript(program: Command): string {
  const commands = walk(program, '')
  const steps = commands.flatMap(({ at, command }) =>
    childrenOf(command).flatMap((child) => {
      const to = join(at, child.name())
      return [child.name(), ...child.aliases()].map((name) => `      '${at}/${name}') at='${to}' ;;`)
    }),
  )
  const known = commands.map(({ at, command }) => {
    const takes = command.options.filter(({ required }) => required).flatMap(namesOf)
    return `    '${at}') list='${wordsOf(command).join(' ')}' takes=' ${takes.join(' ')} ' ;;`
  })
  const choices = commands.flatMap(({ at, command }) =>
    command.options.flatMap((option) => {
      const asked = namesOf(option).map((name) => `'${at}/${name}'`)
      return option.argChoices ? [`    ${asked.join('|')}) list='${option.argChoices.join(' ')}' ;;`] : []
    }),
  )
  return `# k8sclaw completion: source <(k8sclaw completion bash)
_k8sclaw_command() {
  case "$at" in
${known.join('\n')}
  esac
}
_k8sclaw() {
  local at= flag= item= list= takes=
  _k8sclaw_command
  for item in "\${COMP_WORDS[@]:1:$((COMP_CWORD - 1))}"; do
    if [ -n "$flag" ]; then
      [ "$item" = '=' ] || flag=
      continue
    fi
    case "$takes" in *" $item "*) flag="$item" ;; esac
    case "$at/$item" in
${steps.join('\n')}
    esac
    _k8sclaw_command
  done
  item="\${COMP_WORDS[COMP_CWORD]}"
  [ "$item" != '=' ] || item=
  [ -z "$flag" ] || list=
  case "$at/$flag" in
${choices.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$list" -- "$item" || :))
}
if [ -n "\${ZSH_VERSION-}" ]; then
  (( \${+functions[compdef]} )) || { autoload -U +X compinit && compinit; }
  autoload -U +X bashcompinit && bashcompinit
fi
complete -o default -F _k8sclaw k8sclaw
`
}

function walk(command: Command, at: string): { at: string; command: Command }[] {
  return [{ at, command }, ...childrenOf(command).flatMap((child) => walk(child, join(at, child.name())))]
}

const join = (at: string, name: string) => (at ? `${at} ${name}` : name)

const childrenOf = (command: Command) => command.commands.filter((child) => child.name() !== 'help')

const namesOf = ({ short, long }: Option) => [short, long].filter((name) => name !== undefined)

/** What may stand behind a command: its commands, the words of its argument, its flags. */
function wordsOf(command: Command): string[] {
  return [
    ...childrenOf(command).map((child) => child.name()),
    ...command.registeredArguments.flatMap(({ argChoices = [] }) => argChoices),
    ...command.options.flatMap(({ long }) => (long ? [long] : [])),
  ]
}
