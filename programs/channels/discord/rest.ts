import { type InternalRequest, REST } from '@discordjs/rest'
import { toServiceError } from './refusals.ts'
import type { Variables } from './settings.ts'

type Call = Pick<InternalRequest, 'body' | 'query' | 'auth' | 'files'> & { signal: AbortSignal }
type Route = InternalRequest['fullRoute']

/**
 * Discord's HTTP API through its library, which knows the rate limits of each route and of all. It waits for nobody and
 * tries nothing again: both are the frame's part. Throws as `toServiceError` says.
 */
export class DiscordApi {
  readonly rest: REST
  readonly #token: string

  constructor({ DISCORD_BOT_TOKEN: token, DISCORD_API_URL: url }: Variables) {
    this.#token = token
    this.rest = new REST({ api: url.replace(/\/$/, ''), version: '10', retries: 0, rejectOnRateLimit: () => true })
    this.rest.setToken(token)
  }

  get = (route: Route, call: Call) => this.#call(call, (options) => this.rest.get(route, options))
  post = (route: Route, call: Call) => this.#call(call, (options) => this.rest.post(route, options))
  put = (route: Route, call: Call) => this.#call(call, (options) => this.rest.put(route, options))
  patch = (route: Route, call: Call) => this.#call(call, (options) => this.rest.patch(route, options))

  async #call({ signal, ...rest }: Call, run: (options: Call) => Promise<unknown>): Promise<unknown> {
    // The library forgets a token that was refused once, and listens to a signal for as long as that lives.
    this.rest.setToken(this.#token)
    const mine = new AbortController()
    const abort = () => mine.abort()
    signal.throwIfAborted()
    signal.addEventListener('abort', abort)
    try {
      return await run({ ...rest, signal: mine.signal })
    } catch (error) {
      throw toServiceError(error)
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }
}
