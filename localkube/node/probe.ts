/** Asks a container how it is, on its probe's schedule. */
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Container, Probe } from './objects.ts'

export interface ProbeTarget {
  podIP: string
  container: Container
  execute(command: string[], timeoutMs: number): Promise<number>
}

/**
 * Probes until the signal: `onResult` hears true after successThreshold successes in a row and false after
 * failureThreshold failures in a row, again at each further result.
 */
export async function watchProbe(
  probe: Probe,
  target: ProbeTarget,
  signal: AbortSignal,
  onResult: (healthy: boolean) => void,
): Promise<void> {
  const { successThreshold = 1, failureThreshold = 3, periodSeconds = 10, initialDelaySeconds = 0 } = probe
  const periodMs = periodSeconds * 1000
  let successes = 0
  let failures = 0
  let countedAt = Number.NEGATIVE_INFINITY
  let pauseMs = 50
  try {
    if (initialDelaySeconds > 0) await sleep(initialDelaySeconds * 1000, undefined, { signal })
    for (;;) {
      const healthy = await attempt(probe, target)
      if (signal.aborted) return
      const now = performance.now()
      if (healthy) {
        successes++
        failures = 0
        pauseMs = periodMs
      } else {
        successes = 0
        // Asked more often than the period until the first success, it still fails only once a period.
        if (now - countedAt >= periodMs * 0.9) {
          failures++
          countedAt = now
        }
        pauseMs = Math.min(pauseMs * 2, periodMs)
      }
      if (successes >= successThreshold) onResult(true)
      else if (failures >= failureThreshold) onResult(false)
      await sleep(pauseMs, undefined, { signal })
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

/** Asks once. */
export async function attempt(probe: Probe, { podIP, container, execute }: ProbeTarget): Promise<boolean> {
  const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000
  if (probe.exec) return (await execute(probe.exec.command, timeoutMs)) === 0
  if (probe.tcpSocket) {
    return tcp(probe.tcpSocket.host ?? podIP, portOf(probe.tcpSocket.port, container), timeoutMs)
  }
  if (probe.httpGet) {
    const { path = '/', port, host, scheme = 'HTTP', httpHeaders = [] } = probe.httpGet
    return http(scheme === 'HTTPS', {
      host: host ?? podIP,
      port: portOf(port, container),
      path,
      headers: Object.fromEntries(httpHeaders.map((h) => [h.name, h.value])),
      agent: false,
      signal: AbortSignal.timeout(timeoutMs),
    })
  }
  return true
}

/** A port by number, or by the name that the container gives it. */
export function portOf(port: number | string, container: Container): number {
  if (typeof port === 'number') return port
  return container.ports?.find((p) => p.name === port)?.containerPort ?? Number(port)
}

function tcp(host: string, port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs })
    const answer = (ok: boolean) => {
      socket.destroy()
      resolve(ok)
    }
    socket.once('connect', () => answer(true))
    socket.once('timeout', () => answer(false))
    socket.once('error', () => answer(false))
  })
}

/** Any answer from 200 to 399 is well; the certificate of a pod is nobody's business. */
function http(tls: boolean, options: RequestOptions): Promise<boolean> {
  return new Promise((resolve) => {
    const onResponse = (response: IncomingMessage) => {
      response.on('error', () => resolve(false)).resume()
      const status = response.statusCode ?? 0
      resolve(status >= 200 && status < 400)
    }
    const call = tls
      ? httpsRequest({ ...options, rejectUnauthorized: false }, onResponse)
      : httpRequest(options, onResponse)
    call.on('error', () => resolve(false)).end()
  })
}
