import { readFileSync } from 'node:fs'
import { createServer as createHttpServer, type Server, type ServerOptions } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { join } from 'node:path'
import { ClawError, errorMessage } from '#core/errors'
import type { Logger } from '#core/telemetry'

/** A folder with `tls.crt` and `tls.key`, as a mounted Secret of type kubernetes.io/tls has them. */
export interface ServingFiles {
  dir: string
  log: Logger
  /** How often the files are read again; they are small, and a mounted Secret is replaced at its own pace. */
  rereadMs?: number
}

const minVersion = 'TLSv1.3'
/** Who connects and says nothing, or nothing of TLS, is let go. */
const handshakeTimeout = 10_000
/**
 * For how long a request may be on its way. Node waits a minute for its head and five for its body, for which one caller
 * may hold a place that others need; and it looks only every half minute.
 */
const patience = { headersTimeout: 20_000, requestTimeout: 60_000, connectionsCheckingInterval: 5_000 }

/**
 * An HTTP server, over TLS where `files` are given, that lets go who sends a request too slowly; whoever makes it listens
 * and closes. Files that are replaced serve
 * the next connection; those that stand stay. Throws `unavailable` where the files cannot be read or do not match.
 */
export function httpServer(given: ServerOptions, files?: ServingFiles): Server {
  const options = { ...patience, ...given }
  if (!files) return createHttpServer(options)
  let held = readPair(files.dir)
  const server = secured(files.dir, () => createHttpsServer({ ...options, ...held, minVersion, handshakeTimeout }))
  server.on('tlsClientError', (error) => files.log.debug({ error: errorMessage(error) }, 'tls handshake failed'))
  const timer = setInterval(() => {
    try {
      const found = readPair(files.dir)
      if (found.cert === held.cert && found.key === held.key) return
      // Before it is tried: what is unusable is told once, not at every reading.
      held = found
      secured(files.dir, () => server.setSecureContext({ ...found, minVersion }))
      files.log.info({ dir: files.dir }, 'serving with another certificate')
    } catch (error) {
      files.log.warn({ error: errorMessage(error) }, 'still serving with the certificate before')
    }
  }, files.rereadMs ?? 10_000).unref()
  server.on('close', () => clearInterval(timer))
  return server
}

function readPair(dir: string): { cert: string; key: string } {
  try {
    const read = (name: string) => readFileSync(join(dir, name), 'utf8')
    return { cert: read('tls.crt'), key: read('tls.key') }
  } catch (cause) {
    throw new ClawError('unavailable', `tls.crt and tls.key cannot be read in ${dir}`, { cause })
  }
}

function secured<T>(dir: string, use: () => T): T {
  try {
    return use()
  } catch (cause) {
    throw new ClawError('unavailable', `tls.crt and tls.key in ${dir} cannot be served: ${errorMessage(cause)}`, {
      cause,
    })
  }
}
