import type { Command } from 'commander'

/** A completion script made from the command tree, so that it cannot lag behind. Bash reads it, and zsh by bashcompinit. */
export function completionScript(program: Command): string {
  const cases = walk(program, []).map(({ path, words }) => `    '${path.join(' ')}') words='${words.join(' ')}' ;;`)
  return `# k8sclaw completion: source <(k8sclaw completion bash)
_k8sclaw() {
  local path= word words=
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) path="\${path:+$path }$word" ;; esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
[ -n "$ZSH_VERSION" ] && { autoload -U +X bashcompinit && bashcompinit; }
complete -F _k8sclaw k8sclaw
`
}

function walk(command: Command, path: string[]): { path: string[]; words: string[] }[] {
  const children = command.commands.filter((c) => c.name() !== 'help')
  const words = [...children.map((c) => c.name()), ...command.options.flatMap((o) => (o.long ? [o.long] : []))]
  return [{ path, words }, ...children.flatMap((c) => walk(c, [...path, c.name()]))]
}
