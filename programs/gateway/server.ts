import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { ClawError, isClawError } from '#core/errors'
import type { RunClaims } from '#core/identity'
import { maxRequestBytes, type PricedName, readEmbeddingsRequest, readModelRequest } from '#core/models'
import { judgeModelNow } from '#core/policy'
import type { Logger } from '#core/telemetry'
import { httpServer } from '#core/tls'
import { answerError, answerJson, readBody } from './answer.ts'
import type { BusPort } from './bus-port.ts'
import type { Callers } from './callers.ts'
import { Client } from './client.ts'
import {
  callsUnderWay,
  labelsOf,
  modelCalls,
  modelRefusals,
  modelSeconds,
  modelTokens,
  modelUnmetered,
  statusLabel,
} from './metrics.ts'
import { type Called, callModel } from './model-call.ts'
import type { PoliciesInForce } from './policies.ts'
import { type Provider, providerOf, type Question } from './provider.ts'
import { formatOfPath, type Route, routeOf } from './routes.ts'
import type { ProviderSecrets } from './secrets.ts'
import type { Upstreams } from './upstream.ts'
import type { UsageOutbox } from './usage-outbox.ts'

export interface GatewayOptions {
  callers: Callers
  secrets: ProviderSecrets
  policies: PoliciesInForce
  upstreams: Upstreams
  bus: BusPort
  outbox: UsageOutbox
  log: Logger
  /** Folder of the certificate to serve with; without it plain HTTP is served. */
  tlsDir?: string | undefined
  /** Aborts when calls under way cannot be waited for any longer. */
  signal: AbortSignal
}

/** A request and its answer. */
interface Exchange {
  request: IncomingMessage
  response: ServerResponse
  /** Whether a provider was asked: what fails after that is no refusal of ours. */
  asked: boolean
}

type CallRoute = Extract<Route, { kind: 'call' }>

/** Calls that one run may have under way at once: each holds its request in memory. */
const maxCallsPerRun = 16

/** The HTTP server of the gateway; whoever makes it listens and closes. */
export function gatewayServer(options: GatewayOptions): Server {
  const calls = new Map<string, number>()
  const unwatch = callsUnderWay.watch({}, () => calls.values().reduce((sum, count) => sum + count, 0))
  const { tlsDir: dir, log } = options
  const limits = { requestTimeout: 120_000, keepAliveTimeout: 65_000 }
  const server = httpServer(limits, dir === undefined ? undefined : { dir, log })
  server.on('close', unwatch)
  server.on('request', (request, response) => {
    const exchange = { request, response, asked: false }
    serve(options, calls, exchange).catch((error: unknown) => {
      const known = answerError(formatOfPath(request.url), response, error)
      if (!exchange.asked) modelRefusals.add({ code: known.code })
      if (known.code === 'internal') options.log.error({ err: error }, 'request failed')
    })
  })
  return server
}

async function serve(options: GatewayOptions, calls: Map<string, number>, exchange: Exchange): Promise<void> {
  const { request, response } = exchange
  const route = routeOf(request.method, request.url)
  if (!route) throw new ClawError('not_found', 'the gateway does not serve this path')
  switch (route.kind) {
    case 'healthz':
      return answerJson(response, 200, { status: 'ok' })
    case 'readyz': {
      const ready = await options.callers.key().then(
        () => true,
        () => false,
      )
      return answerJson(response, ready ? 200 : 503, { status: ready ? 'ok' : 'waiting for the key of run tokens' })
    }
    case 'models': {
      const claims = await options.callers.claimsOf(request.headers.authorization)
      return answerJson(response, 200, modelList(claims))
    }
    case 'call': {
      const claims = await options.callers.claimsOf(request.headers.authorization)
      const running = calls.get(claims.uid) ?? 0
      if (running >= maxCallsPerRun) throw new ClawError('too_many', `${running} model calls of this run are under way`)
      calls.set(claims.uid, running + 1)
      try {
        return await serveCall(options, route, claims, exchange)
      } finally {
        const left = (calls.get(claims.uid) ?? 1) - 1
        if (left > 0) calls.set(claims.uid, left)
        else calls.delete(claims.uid)
      }
    }
  }
}

async function serveCall(
  options: GatewayOptions,
  { format, question }: CallRoute,
  claims: RunClaims,
  exchange: Exchange,
): Promise<void> {
  const started = performance.now()
  const { request, response } = exchange
  const { secrets, upstreams, bus, outbox, log, signal } = options
  const { headers } = request
  const client = new Client(response)
  const step = question === 'reply' ? stepOf(headers['x-k8sclaw-step']) : 0
  const quiet = headers['x-k8sclaw-preview'] === 'none'
  const { uid, namespace, instance } = claims
  const { provider: name, secretRef, models } = namedIn(claims, question)
  const provider = await providerOf({ namespace, provider: name, secretRef }, format, secrets, upstreams)
  const body = await readBody(request, maxRequestBytes)
  const judged = question === 'embeddings' ? readEmbeddingsRequest(body) : readModelRequest(format, body)
  if (!models.includes(judged.model)) {
    throw new ClawError('forbidden', `this run may use ${models.join(', ')}, not ${judged.model}`)
  }
  judgeBy(options.policies, claims, provider, { provider: name, name: judged.model })
  const called: Called = { status: 0, usage: undefined }
  const fields = { run: uid, namespace, instance, provider: name, model: judged.model, step }
  const labels = labelsOf(name, judged.model)
  const ended = modelSeconds.time()
  exchange.asked = true
  try {
    const asked = { claims, providerName: name, request: judged, headers, question, step, quiet, provider }
    await callModel({ ...asked, client, bus, outbox, signal }, called)
  } catch (error) {
    const code = isClawError(error) ? error.code : 'internal'
    log.warn({ ...fields, status: called.status, code }, 'model call failed')
    throw error
  } finally {
    ended(labels)
    count(labels, called)
  }
  const ms = Math.round(performance.now() - started)
  log.info({ ...fields, status: called.status, ...called.usage, ms, hungUp: client.gone.aborted }, 'model call')
}

function count(labels: PricedName, { status, usage }: Called): void {
  modelCalls.add({ ...labels, status: statusLabel(status) })
  if (usage) {
    modelTokens.add({ ...labels, direction: 'input' }, usage.input)
    modelTokens.add({ ...labels, direction: 'output' }, usage.output)
  } else if (status >= 200 && status < 300) modelUnmetered.add(labels)
}

/** The models that a run may ask, and where: those of its agent, or the one by which its memories are compared. */
function namedIn(claims: RunClaims, question: Question): Pick<RunClaims, 'provider' | 'secretRef' | 'models'> {
  if (question !== 'embeddings') return claims
  if (!claims.embeddings) throw new ClawError('forbidden', 'the instance of this run names no embeddings model')
  const { provider, secretRef, model } = claims.embeddings
  return { provider, secretRef, models: [model] }
}

/** What the run was started under, and its policy as it is at this moment. Throws `forbidden`. */
function judgeBy(
  policies: PoliciesInForce,
  claims: RunClaims,
  { baseURL }: Provider,
  model: { provider: string; name: string },
): void {
  const inForce = claims.policy === undefined ? undefined : policies.of(claims.namespace, claims.policy)
  const { action, reason } = judgeModelNow(claims, inForce, model, baseURL)
  if (action === 'deny') throw new ClawError('forbidden', reason)
}

function stepOf(header: string | string[] | undefined): number {
  if (typeof header !== 'string' || !/^[1-9][0-9]{0,8}$/.test(header)) {
    throw new ClawError('malformed', 'the header X-K8sClaw-Step must be the ordinal of the model call')
  }
  return Number(header)
}

/** What this run may use, which is all it may know; in the words of the models endpoint. */
function modelList(claims: RunClaims): object {
  const data = claims.models.map((id) => ({ id, object: 'model', created: 0, owned_by: claims.provider }))
  return { object: 'list', data }
}
