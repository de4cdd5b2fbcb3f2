import type { DiscordApi } from './rest.ts'
import { type Interaction, isThread } from './shapes.ts'

/** In servers and in direct messages with the bot, where it is installed to a server. */
const everywhere = { type: 1, contexts: [0, 1], integration_types: [0] }
const text = { type: 3, name: 'text', description: 'What to begin with', max_length: 6000 }

export const commands = [
  { ...everywhere, name: 'new', description: 'Begin a new conversation', options: [text] },
  { ...everywhere, name: 'status', description: 'What is going on' },
  { ...everywhere, name: 'stop', description: 'Stop what is going on' },
  { ...everywhere, name: 'help', description: 'What I understand' },
]

const viewChannel = 1n << 10n
const sendMessages = 1n << 11n
const sendInThreads = 1n << 38n

/** Whether the answer can be said where the command was given. */
export function mayAnswer({ guild_id: guild, channel, app_permissions: permissions }: Interaction): boolean {
  if (!guild) return true
  const needed = viewChannel | (isThread(channel) ? sendInThreads : sendMessages)
  return (BigInt(permissions) & needed) === needed
}

const ephemeral = 1 << 6
const deferred = 5

/**
 * Tells Discord within its three seconds that the command is being looked into, and the person alone what became of it.
 * The answer itself is said like any other, since only such is known by its nonce when it is said again.
 */
export class CommandAnswer {
  readonly #api: DiscordApi
  readonly #interaction: Interaction
  readonly #begun: Promise<boolean>

  constructor(api: DiscordApi, interaction: Interaction) {
    this.#api = api
    this.#interaction = interaction
    const body = { type: deferred, data: { flags: ephemeral } }
    const { id, token } = interaction
    this.#begun = this.#quietly(
      api.post(`/interactions/${id}/${token}/callback`, { body, auth: false, ...this.#soon() }),
    )
  }

  async end(content: string): Promise<void> {
    // One that comes again in a resumed session was begun before, or is too old.
    if (!(await this.#begun)) return
    const { application_id: app, token } = this.#interaction
    const body = { content, allowed_mentions: { parse: [] } }
    await this.#quietly(
      this.#api.patch(`/webhooks/${app}/${token}/messages/@original`, { body, auth: false, ...this.#soon() }),
    )
  }

  #soon() {
    return { signal: AbortSignal.timeout(10_000) }
  }

  #quietly(call: Promise<unknown>): Promise<boolean> {
    return call.then(
      () => true,
      () => false,
    )
  }
}
