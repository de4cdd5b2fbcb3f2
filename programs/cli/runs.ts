import { setTimeout as delay } from 'node:timers/promises'
import { ClawError, isClawError } from '#core/errors'
import { type AgentRun, agentRuns, newRun } from '#core/kinds'
import { type Kube, pathSegment, untilJudged } from '#core/kube'
import { type ClusterOptions, connect } from './context.ts'
import { follow } from './follow.ts'
import { getObject, listObjects, type PrintedOptions } from './objects.ts'
import { render, type View } from './output.ts'
import { age } from './terminal.ts'
import { createTranscript } from './transcript.ts'

export const runView: View<AgentRun> = {
  resource: 'agentrun.k8sclaw.io',
  heads: ['NAME', 'INSTANCE', 'PHASE', 'REASON', 'AGE'],
  wideHeads: ['POD', 'RESULT'],
  row: ({ metadata, spec, status }, now) => [
    metadata.name,
    spec.instanceRef.name,
    status?.phase ?? 'Pending',
    status?.reason ?? '',
    age(metadata.creationTimestamp, now),
    status?.podName ?? '',
    (status?.result ?? status?.error ?? '').slice(0, 80),
  ],
}

export interface RunOptions extends ClusterOptions {
  instance: string
  agent?: string
  session?: string
  timeout?: string
  follow: boolean
}

/** `k8sclaw run TASK`: creates an AgentRun and, with --follow, shows it until its outcome. */
export async function run(task: string, options: RunOptions, write: (text: string) => void): Promise<number> {
  const { kube, namespace } = await connect(options)
  const { instance, agent, session: sessionKey, timeout } = options
  const wanted = newRun(namespace, { instance, agent, task, sessionKey, timeout })
  const created = await untilJudged(() => kube.create<AgentRun>(agentRuns, wanted))
  write(`agentrun.k8sclaw.io/${created.metadata.name} created\n`)
  return options.follow ? show(kube, namespace, created.metadata.name, write) : 0
}

/** Shows a run until its outcome; the exit code is 0 exactly when it Succeeded. */
export async function show(
  kube: Kube,
  namespace: string,
  name: string,
  write: (text: string) => void,
): Promise<number> {
  const interrupt = new AbortController()
  process.once('SIGINT', () => interrupt.abort())
  const transcript = createTranscript(write)
  const onWait = (text: string) => transcript({ type: 'status', data: { text } })
  for await (const event of follow(kube, { namespace, name }, interrupt.signal, onWait)) {
    transcript(event)
    if (event.type === 'outcome') return event.data.phase === 'Succeeded' ? 0 : 1
  }
  write(`\nnot followed any longer; the run goes on: k8sclaw runs watch ${name}\n`)
  return 130
}

export function listRuns({ instance, ...options }: PrintedOptions & { instance?: string }): Promise<string> {
  return listObjects(agentRuns, runView, options, (one) => !instance || one.spec.instanceRef.name === instance)
}

export const getRun = (name: string, options: PrintedOptions) => getObject(agentRuns, runView, name, options)

/** `runs watch`: with a name its stream, without one a line for each change of any run. */
export async function watchRuns(
  name: string | undefined,
  options: ClusterOptions,
  write: (text: string) => void,
): Promise<number> {
  const { kube, namespace } = await connect(options)
  if (name) return show(kube, namespace, name, write)
  const scope = options.allNamespaces ? '*' : namespace
  const heads = await render(runView, [], {
    format: 'table',
    namespaces: options.allNamespaces === true,
    single: false,
  })
  write(`${heads}\n`)
  const line = async (r: AgentRun) => {
    const text = await render(runView, [r], {
      format: 'table',
      namespaces: options.allNamespaces === true,
      single: false,
    })
    write(`${text.split('\n')[1]}\n`)
  }
  for (;;) {
    const list = await kube.list<AgentRun>(agentRuns, { namespace: scope })
    for (const item of list.items) await line(item)
    try {
      for await (const event of kube.watch<AgentRun>(agentRuns, {
        namespace: scope,
        resourceVersion: list.resourceVersion,
      })) {
        if (event.type !== 'BOOKMARK') await line(event.object)
      }
    } catch (error) {
      if (!isClawError(error, 'gone', 'unavailable', 'timeout')) throw error
      await delay(1000)
    }
  }
}

export async function cancelRun(name: string, options: ClusterOptions): Promise<string> {
  const { kube, namespace } = await connect(options)
  await untilJudged(() => kube.patch(agentRuns, { namespace, name }, { spec: { cancel: true } }))
  return `agentrun.k8sclaw.io/${name} cancelled`
}

/** The log of one container of a run's pod. */
export async function runLogs(
  name: string,
  options: ClusterOptions & { container: string; follow: boolean },
  out: NodeJS.WritableStream,
): Promise<void> {
  const { kube, namespace } = await connect(options)
  const found = await kube.get<AgentRun>(agentRuns, { namespace, name })
  const pod = found.status?.podName
  if (!pod)
    throw new ClawError(
      'not_found',
      `${name} has no pod yet: it is ${found.status?.phase ?? 'Pending'}${found.status?.reason ? ` (${found.status.reason})` : ''}`,
    )
  const path = `/api/v1/namespaces/${pathSegment(namespace)}/pods/${pathSegment(pod)}/log`
  const response = await kube.request(path, { query: { container: options.container, follow: options.follow } })
  if (response.status !== 200) {
    const text = await response.text()
    throw new ClawError(
      response.status === 404 ? 'not_found' : 'unavailable',
      `the log of ${pod} cannot be read: ${messageOf(text)}`,
    )
  }
  const { safe } = await import('./terminal.ts')
  for await (const chunk of response.body.setEncoding('utf8') as AsyncIterable<string>) out.write(safe(chunk))
}

function messageOf(text: string): string {
  try {
    return (JSON.parse(text) as { message?: string }).message ?? text
  } catch {
    return text.slice(0, 300)
  }
}
