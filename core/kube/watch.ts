import { ClawError, errorMessage } from '#core/errors'
import type { KubeObject } from '#core/kinds'
import type { RawResponse } from './http.ts'
import { statusError } from './status.ts'

export type WatchEvent<T extends KubeObject> =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: T }
  | { type: 'BOOKMARK'; object: { metadata: { resourceVersion: string } } }

const defaultIdleMs = 120_000
const maxLine = 8 * 1024 * 1024

/** Turns one watch response into events. See `Kube.watch` for how it ends. */
export async function* watchEvents<T extends KubeObject>(
  open: (signal: AbortSignal) => Promise<RawResponse>,
  { signal, idleMs = defaultIdleMs }: { signal?: AbortSignal | undefined; idleMs?: number | undefined },
): AsyncGenerator<WatchEvent<T>> {
  const connection = new AbortController()
  const response = await open(signal ? AbortSignal.any([signal, connection.signal]) : connection.signal)
  let silent: NodeJS.Timeout | undefined
  try {
    if (response.status !== 200) throw statusError(response.status, await response.text(), 'watch')
    response.body.setEncoding('utf8')
    // A connection that lost its other side without a word looks just like a quiet one; bookmarks keep a live one warm.
    silent = setTimeout(() => response.body.destroy(new Error(`silent for ${idleMs} ms`)), idleMs)
    let rest = ''
    for await (const chunk of response.body as AsyncIterable<string>) {
      silent.refresh()
      rest += chunk
      for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
        const line = rest.slice(0, end)
        rest = rest.slice(end + 1)
        if (line.trim()) yield event<T>(line)
      }
      if (rest.length > maxLine) throw new ClawError('too_large', 'watch: a line without an end')
    }
  } catch (error) {
    if (signal?.aborted) return
    if (error instanceof ClawError) throw error
    throw new ClawError('unavailable', `watch: ${errorMessage(error)}`, { cause: error })
  } finally {
    clearTimeout(silent)
    connection.abort()
    response.body.destroy()
  }
}

function event<T extends KubeObject>(line: string): WatchEvent<T> {
  const value = JSON.parse(line) as { type: string; object: unknown }
  if (value.type === 'ERROR') {
    const code = (value.object as { code?: number }).code ?? 500
    throw statusError(code, JSON.stringify(value.object), 'watch')
  }
  return value as WatchEvent<T>
}
