import type { ServerResponse } from 'node:http'
import { badRequest } from '../api-error.ts'
import { isObject, listAt, stringAt } from '../json.ts'
import type { KubeObject, LogOptions, NodeHooks } from '../types.ts'
import { isTrue } from './request-info.ts'

/** `pods/log`: the bytes come from the node as they are written. */
export async function serveLogs(
  hooks: NodeHooks,
  pod: KubeObject,
  query: URLSearchParams,
  response: ServerResponse,
  closing: AbortSignal,
): Promise<void> {
  const container = chooseContainer(pod, query.get('container') ?? '')
  const left = new AbortController()
  response.on('close', () => left.abort())
  const signal = AbortSignal.any([left.signal, closing])
  const chunks = hooks.logs(pod.metadata.namespace ?? '', pod.metadata.name, container, parseOptions(query), signal)
  try {
    for await (const chunk of chunks) {
      if (!response.headersSent) response.writeHead(200, { 'Content-Type': 'text/plain' })
      if (!response.write(chunk)) await drained(response, signal)
      if (signal.aborted) break
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
  if (!response.headersSent && !response.destroyed) response.writeHead(200, { 'Content-Type': 'text/plain' })
  response.end()
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done)
      signal.removeEventListener('abort', done)
      resolve()
    }
    response.on('drain', done)
    signal.addEventListener('abort', done)
    if (signal.aborted) done()
  })
}

function chooseContainer(pod: KubeObject, asked: string): string {
  const names = (list: string): string[] =>
    listAt(pod, 'spec', list)
      .filter(isObject)
      .map((container) => stringAt(container, 'name'))
  const main = names('containers')
  const init = names('initContainers')
  const podName = pod.metadata.name
  if (asked !== '') {
    if ([...main, ...init].includes(asked)) return asked
    throw badRequest(`container ${asked} is not valid for pod ${podName}`)
  }
  const [only, ...more] = main
  if (only !== undefined && more.length === 0) return only
  const initText = init.length > 0 ? ` or one of the init containers: [${init.join(' ')}]` : ''
  throw badRequest(
    `a container name must be specified for pod ${podName}, choose one of: [${main.join(' ')}]${initText}`,
  )
}

function parseOptions(query: URLSearchParams): LogOptions {
  const options: LogOptions = {}
  for (const flag of ['follow', 'previous', 'timestamps'] as const) if (isTrue(query.get(flag))) options[flag] = true
  for (const count of ['tailLines', 'sinceSeconds', 'limitBytes'] as const) {
    const text = query.get(count)
    if (text === null) continue
    if (!/^\d+$/.test(text))
      throw badRequest(`${count}: Invalid value: ${JSON.stringify(text)}: must be a whole number`)
    options[count] = Number(text)
  }
  const since = query.get('sinceTime')
  if (since !== null) {
    const time = Date.parse(since)
    if (Number.isNaN(time)) throw badRequest(`sinceTime: Invalid value: ${JSON.stringify(since)}: must be RFC 3339`)
    options.sinceSeconds = Math.max(0, Math.ceil((Date.now() - time) / 1000))
  }
  return options
}
