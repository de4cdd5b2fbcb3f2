import type { Received } from '#core/channels'

/** Who may speak, as `spec.channels[].access` says it. */
export interface Access {
  mode: 'pairing' | 'allowlist' | 'open'
  /** Ids of senders, as the service has them and never changes them. */
  allow: readonly string[]
  groups: 'mention' | 'always' | 'never'
}

/** What a channel has that says nothing: strangers ask to be let in, and in groups the bot answers who speaks to it. */
export const usualAccess: Access = { mode: 'pairing', allow: [], groups: 'mention' }

const commands = ['status', 'stop', 'help'] as const
/** What is answered at once, whatever is going on. */
export type Command = (typeof commands)[number]

/** What is known of the sender and the conversation besides the message. */
export interface Known {
  /** Whether the sender keeps to the limit, and if not, whether that was said already. */
  pace: 'within' | 'over' | 'told'
  /** Whether this stranger was answered a moment ago. */
  answered: boolean
  /** Whether one more message may wait in this conversation and channel. */
  room: boolean
}

export type Step =
  | { do: 'ignore'; why: 'not a person' | 'not their own word' | 'not for us' | 'stranger' | 'too fast' | 'empty' }
  /** A stranger, who is given a code with which somebody may let them in. */
  | { do: 'pair' }
  | { do: 'refuse'; why: 'stranger' | 'too fast' | 'no room' }
  | { do: 'command'; command: Command }
  /** `anew`: the conversation begins anew with this message, which may be nothing else than that. */
  | { do: 'turn'; text: string; anew: boolean }

/**
 * What to do with one message. Only what a person who is let in says in their own words and now starts a run; nobody else is told more than how to be let in, and in groups not even that.
 */
export function takeTurn(access: Access, message: Received, known: Known): Step {
  const { sender, chat } = message
  if (sender.kind !== 'person') return { do: 'ignore', why: 'not a person' }
  if (!message.mayCommand) return { do: 'ignore', why: 'not their own word' }
  if (chat.kind === 'group' && !isForUs(access, message)) return { do: 'ignore', why: 'not for us' }
  if (access.mode !== 'open' && !access.allow.includes(sender.id)) {
    if (chat.kind === 'group' || known.answered) return { do: 'ignore', why: 'stranger' }
    return access.mode === 'pairing' ? { do: 'pair' } : { do: 'refuse', why: 'stranger' }
  }
  if (known.pace === 'told') return { do: 'ignore', why: 'too fast' }
  if (known.pace === 'over') return { do: 'refuse', why: 'too fast' }
  const { command, anew = false, text = '' } = readText(message.text)
  if (command) return { do: 'command', command }
  if (text === '' && !anew && message.attachments.length === 0) return { do: 'ignore', why: 'empty' }
  if (!known.room) return { do: 'refuse', why: 'no room' }
  return { do: 'turn', text, anew }
}

function isForUs({ groups }: Access, { mentioned }: Received): boolean {
  return groups === 'always' || (groups === 'mention' && mentioned)
}

/**
 * A command stands at the beginning, after the bot's name at most; services add that name behind it as well. Some keep
 * what begins with a slash for themselves.
 */
const form = /^(?:@\S{1,64}\s+)?[/!]([a-z]{3,6})(?:@\S{1,64})?(?:\s+(.*))?$/is

/** Only `/new` goes on with what is said to begin with; any other command with words behind it is what somebody says. */
function readText(said: string): { command?: Command; anew?: boolean; text?: string } {
  const text = said.trim()
  const [, word = '', behind = ''] = form.exec(text) ?? []
  const name = word.toLowerCase()
  if (name === 'new') return { anew: true, text: behind.trim() }
  // What a service sends by itself when somebody opens the chat.
  if (name === 'start') return { command: 'help' }
  const command = commands.find((known) => known === name)
  return command && behind.trim() === '' ? { command } : { text }
}
