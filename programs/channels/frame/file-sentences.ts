import { type BroughtFile, leftOutWords } from '#core/files'

/** What a person is told of the files that were left out; nothing where none was. Names are clean already. */
export function leftOutSentence(brought: readonly BroughtFile[]): string {
  return brought
    .flatMap((file) => ('leftOut' in file ? [`I could not take \`${file.name}\`: ${leftOutWords[file.leftOut]}.`] : []))
    .join('\n')
}

/** What a person is told of a file that the agent handed over and that did not arrive. */
export function notHandedSentence(name: string, refused: boolean): string {
  const why = refused ? 'the chat service does not take it' : 'it is not kept any more'
  return `I could not send \`${name}\`: ${why}.`
}
