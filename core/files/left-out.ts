import type { LeftOut } from './words.ts'

/** Why a file was left out, as the end of a sentence for people and agents. */
export const leftOutWords: Record<LeftOut, string> = {
  too_large: 'it is too large',
  type: 'files of its kind are not taken here',
  gone: 'it could not be had from the chat service',
  late: 'it took too long',
  full: 'there is no room for files at the moment',
  unchecked: 'what arrived is not what was sent',
  no_workspace: 'there is no workspace to put it into',
}
