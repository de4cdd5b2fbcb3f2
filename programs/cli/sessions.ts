import { ClawError } from '#core/errors'
import type { Kube } from '#core/kube'
import { callApi, callPath } from './apiserver.ts'
import { type ClusterOptions, connect } from './context.ts'
import type { OutputFormat } from './output.ts'
import { age, safe, table } from './terminal.ts'

interface Session {
  id: string
  instance: string
  key: string
  createdAt: string
  updatedAt: string
  runs: number
}

interface Transcript extends Session {
  messages: Message[]
  continue?: string
  summary?: { run: string; model: string; through: string; messages: number; content: string; at: string }
}

interface Message {
  run: string
  role: 'user' | 'assistant'
  content: string
  at: string
}

interface Aside {
  stream: string
  sequence: number
  subject: string
  reason: string
  bytes: number
  at: string
}

type SessionOptions = ClusterOptions & { instance?: string }

/** The conversations of a namespace, the last used first. */
export async function listSessions(options: SessionOptions & { format: OutputFormat }): Promise<string> {
  const { kube, namespace } = await connect(options)
  const found = await allSessions(kube, namespace, options.instance)
  if (options.format === 'json') return JSON.stringify({ items: found }, null, 4)
  if (options.format === 'yaml') return (await import('./yaml-text.ts')).yamlText({ items: found })
  if (options.format === 'name') return found.map(({ id }) => id).join('\n')
  if (found.length === 0) return `No sessions found in ${namespace} namespace.`
  const now = new Date()
  const rows = found.map(({ id, instance, key, runs, updatedAt }) => [
    id,
    instance,
    key,
    `${runs}`,
    age(updatedAt, now),
  ])
  return table(['ID', 'INSTANCE', 'KEY', 'RUNS', 'LAST USED'], rows)
}

/** What was said in one, oldest first, and where it stands the summary that runs are told of what is before it. */
export async function showSession(name: string, options: SessionOptions): Promise<string> {
  const session = await transcript(name, options)
  const { summary, messages } = session
  const said = messages.map(({ role, content, at }) => `[${at}] ${role}:\n${safe(content)}`)
  if (summary) {
    const made = `made at ${summary.at} by ${safe(summary.model)} in run ${summary.run}`
    const end = messages.findLastIndex(({ run }) => run === summary.through) + 1
    said.splice(end, 0, `[summary of all above, ${made}; runs are told it instead]\n${safe(summary.content)}`)
  }
  return [`session ${safe(session.key)} of ${session.instance} (${session.id})`, ...said].join('\n\n')
}

/** The same as JSON, a message a line. */
export async function exportSession(name: string, options: SessionOptions): Promise<string> {
  const { messages } = await transcript(name, options)
  return messages.map((message) => JSON.stringify(message)).join('\n')
}

/** Makes runs of it begin without what was said before. */
export async function resetSession(name: string, options: SessionOptions): Promise<string> {
  const { kube, namespace, id } = await resolve(name, options)
  await callApi(kube, namespace, `sessions/${id}/reset`, { method: 'POST' })
  return `session ${safe(name)} reset`
}

/** Begins another conversation with what was said in one, up to a run of it or all. */
export async function forkSession(
  name: string,
  key: string,
  { through, ...options }: SessionOptions & { through?: string },
): Promise<string> {
  const { kube, namespace, id } = await resolve(name, options)
  const body = { key, ...(through !== undefined && { through }) }
  const fork = await callApi<{ id: string }>(kube, namespace, `sessions/${id}/fork`, { method: 'POST', body })
  return `session ${safe(key)} (${fork.id}) begins as ${safe(name)}`
}

/** Makes the rows of all namespaces again from the archived record. */
export async function rebuildSessions(options: ClusterOptions): Promise<string> {
  const { kube } = await connect(options)
  const { entries } = await callPath<{ entries: number }>(kube, '/api/v1/sessions/rebuild', { method: 'POST' })
  return `sessions rebuilt from ${entries} entries`
}

/** What of all namespaces is not in the archived record, and why; the newest first. */
export async function listSetAside(options: ClusterOptions & { format: OutputFormat }): Promise<string> {
  const { kube } = await connect(options)
  const found: Aside[] = []
  for (let more: string | undefined = ''; more !== undefined; ) {
    const query = new URLSearchParams({ limit: '500', ...(more && { continue: more }) })
    const page: { items: Aside[]; continue?: string } = await callPath(kube, `/api/v1/sessions/set-aside?${query}`)
    found.push(...page.items)
    more = page.continue
  }
  if (options.format === 'json') return JSON.stringify({ items: found }, null, 4)
  if (options.format === 'yaml') return (await import('./yaml-text.ts')).yamlText({ items: found })
  if (options.format === 'name') return found.map(({ stream, sequence }) => `${stream}/${sequence}`).join('\n')
  if (found.length === 0) return 'Nothing was set aside.'
  const now = new Date()
  const rows = found.map(({ stream, sequence, at, subject, bytes, reason }) => {
    return [`${stream}/${sequence}`, age(at, now), `${bytes}`, subject, reason]
  })
  return table(['ENTRY', 'AGE', 'BYTES', 'SUBJECT', 'REASON'], rows)
}

export async function deleteSession(name: string, options: SessionOptions): Promise<string> {
  const { kube, namespace, id } = await resolve(name, options)
  await callApi(kube, namespace, `sessions/${id}`, { method: 'DELETE' })
  return `session ${safe(name)} deleted`
}

/** All pages of it. */
async function transcript(name: string, options: SessionOptions): Promise<Transcript> {
  const { kube, namespace, id } = await resolve(name, options)
  const page = async (more?: string) => {
    const query = new URLSearchParams({ limit: '500', ...(more !== undefined && { continue: more }) })
    return await callApi<Transcript>(kube, namespace, `sessions/${id}?${query}`)
  }
  const session = await page()
  for (let more = session.continue; more !== undefined; ) {
    const next = await page(more)
    session.messages.push(...next.messages)
    more = next.continue
  }
  return session
}

/** A session by its id, or by its key where that is one session's alone. */
async function resolve(name: string, options: SessionOptions): Promise<{ kube: Kube; namespace: string; id: string }> {
  const { kube, namespace } = await connect(options)
  if (/^[0-9a-f]{32}$/.test(name)) return { kube, namespace, id: name }
  const [first, second] = (await allSessions(kube, namespace, options.instance)).filter(({ key }) => key === name)
  if (!first) throw new ClawError('not_found', `there is no session ${safe(name)} in ${namespace}`)
  if (second)
    throw new ClawError(
      'invalid',
      `several instances have a session ${safe(name)}: name one with --instance, or the id`,
    )
  return { kube, namespace, id: first.id }
}

async function allSessions(kube: Kube, namespace: string, instance: string | undefined): Promise<Session[]> {
  const found: Session[] = []
  for (let more: string | undefined = ''; more !== undefined; ) {
    const query = new URLSearchParams({ limit: '500', ...(instance && { instance }), ...(more && { continue: more }) })
    const page: { items: Session[]; continue?: string } = await callApi(kube, namespace, `sessions?${query}`)
    found.push(...page.items)
    more = page.continue
  }
  return found
}
