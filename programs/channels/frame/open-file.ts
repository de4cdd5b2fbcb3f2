import { ClawError } from '#core/errors'
import { ServiceError } from './service-error.ts'

export interface FileAt {
  /** As in a message: `Slack does not answer for a file`. */
  service: string
  /** Where the service keeps files; nobody else is asked, whoever named the address. */
  origins: readonly string[]
  /** Sent there and nowhere else. */
  headers?: Record<string, string>
  signal: AbortSignal
}

/**
 * Opens a file at an address that came with a message, which may be anybody's: only at an origin of the service's own,
 * and wherever that leads on to is not gone to. Throws a `ServiceError` `never`, `FileGone`, where there is no such file
 * or it is elsewhere, and without a word of the address, which may be a key to the file.
 */
export async function openFile(
  address: string,
  { service, origins, headers = {}, signal }: FileAt,
): Promise<ReadableStream<Uint8Array>> {
  const url = URL.canParse(address) ? new URL(address) : undefined
  if (!url || url.username || url.password || !origins.includes(url.origin)) {
    throw new ServiceError('never', 'FileElsewhere', `The file is not at ${service}.`)
  }
  const answer = await fetch(url, { headers, redirect: 'manual', signal }).catch(() => {
    throw new ClawError('unavailable', `${service} does not answer for a file`)
  })
  if (answer.status === 200 && answer.body) return answer.body
  await answer.body?.cancel()
  const said = `${service} answers ${answer.status} for a file.`
  if (answer.status === 429 || answer.status >= 500) {
    const seconds = Number(answer.headers.get('retry-after') ?? Number.NaN)
    throw new ServiceError('later', 'Outage', said, { afterMs: seconds >= 0 ? seconds * 1000 : undefined })
  }
  throw new ServiceError('never', 'FileGone', said)
}
