import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { stringify } from 'yaml'
import type { AgentRun } from '#core/kinds'
import { allowAll, demoScript, instance, tellingAgent } from './support/objects.ts'
import { startTestPlatform, type TestPlatform } from './support/platform.ts'

const talks = stringify({
  steps: [
    {
      when: { turns: 0, user: '*look*' },
      reply: { text: 'I look first.', toolCalls: [{ name: 'exec', arguments: { script: 'printf sunny' } }] },
    },
    {
      when: { turns: 0, user: '*wait*' },
      reply: { text: 'I wait.', toolCalls: [{ name: 'exec', arguments: { script: 'sleep 60' } }] },
    },
    { when: { user: '*soon*' }, reply: { text: ['I am', ' back'], delayMs: 1_000 } },
    { when: { turns: 1 }, reply: { text: 'It is {{results.0.stdout}}.' } },
    { reply: { text: 'You wrote: {{user}}', usage: { input: 7, output: 5 } } },
  ],
})
const user = (content: string) => ({ role: 'user' as const, content })

let platform: TestPlatform
let client: OpenAI
beforeAll(async () => {
  platform = await startTestPlatform()
  const { secret, authRefs } = demoScript('talks', talks)
  const fails = { image: 'k8sclaw.io/host', command: ['/bin/sh', '-c', 'exit 3'] }
  await platform.apply(
    allowAll(),
    secret,
    instance('talks', {}, { authRefs }),
    instance('tells', tellingAgent),
    instance('fails', fails),
  )
  client = clientOf(platform.token)
  const remembers = async () => expect((await platform.fetch('/api/v1/namespaces/default/sessions')).status).toBe(200)
  await vi.waitFor(remembers, { timeout: 60_000 })
})
afterAll(async () => platform?.close())

const clientOf = (token: string) => new OpenAI({ baseURL: `${platform.url}/v1`, apiKey: token })
const phaseOf = (run: string) => async () => (await platform.getJson<AgentRun>('get', 'agentrun', run)).status?.phase
const runsOf = async (name: string) => {
  const { items } = await platform.getJson<{ items: AgentRun[] }>('get', 'agentruns')
  return items.filter(({ spec }) => spec.instanceRef.name === name)
}
async function read(stream: AsyncIterable<unknown>): Promise<unknown[]> {
  const all: unknown[] = []
  for await (const one of stream) all.push(one)
  return all
}
/** What the official client throws. */
async function refusalOf(asked: Promise<unknown>) {
  const error = await asked.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(OpenAI.APIError)
  const { status, code, param, message } = error as InstanceType<typeof OpenAI.APIError>
  return { status, code, param, message }
}

describe('the official client of OpenAI', () => {
  test('finds agents as models', async () => {
    const found = (await client.models.list()).data
    expect(found.map(({ id }) => id).sort()).toEqual(['default/fails', 'default/talks', 'default/tells'])
    expect(await client.models.retrieve('default/talks')).toMatchObject({ object: 'model', owned_by: 'default' })
    expect(await refusalOf(client.models.retrieve('default/talks/none'))).toMatchObject({ code: 'model_not_found' })
  })

  test('is answered at once, with what the answer cost', async () => {
    const { data, response } = await client.chat.completions
      .create({ model: 'default/talks', messages: [user('Hello')], temperature: 0.2 })
      .withResponse()
    expect(data).toMatchObject({
      object: 'chat.completion',
      model: 'default/talks',
      choices: [{ index: 0, message: { role: 'assistant', content: 'You wrote: Hello' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12 },
    })
    expect(response.headers.get('x-k8sclaw-ignored')).toBe('temperature')
    const run = await platform.getJson<AgentRun>('get', 'agentrun', response.headers.get('x-k8sclaw-run') ?? '')
    expect(data.id).toBe(`chatcmpl-${run.metadata.uid}`)
    expect(run.spec).toMatchObject({ task: 'Hello', origin: { kind: 'user' } })
  })

  test('is answered in pieces, with what the agent said on the way', async () => {
    const messages = [user('Have a look')]
    const stream = client.chat.completions.stream({
      model: 'default/talks',
      messages,
      stream_options: { include_usage: true },
    })
    const pieces: string[] = []
    stream.on('content', (piece) => pieces.push(piece))
    expect(await stream.finalContent()).toBe('I look first.\n\nIt is sunny.')
    // At least one of each step: how many they are is up to how busy the machine is.
    expect(pieces.length).toBeGreaterThan(1)
    const { usage, choices } = await stream.finalChatCompletion()
    expect(choices[0]?.finish_reason).toBe('stop')
    expect(usage?.total_tokens).toBeGreaterThan(0)
    const whole = await client.chat.completions.create({ model: 'default/talks', messages })
    expect(whole.choices[0]?.message.content).toBe('It is sunny.')
  })

  test('holds a conversation that the platform remembers', async () => {
    const ask = async (content: string, headers: Record<string, string>, metadata?: Record<string, string>) => {
      const body = {
        model: 'default/tells',
        messages: [user('sent again'), user(content)],
        ...(metadata && { metadata }),
      }
      const { choices } = await client.chat.completions.create(body, { headers })
      return JSON.parse(choices[0]?.message.content ?? '')
    }
    expect(await ask('My name is Ada.', { 'X-K8sClaw-Session': 'ada' })).toMatchObject({
      task: 'My name is Ada.',
      history: [],
    })
    const second = await ask('Who am I?', {}, { session: 'ada' })
    expect(second.task).toBe('Who am I?')
    expect(second.history).toMatchObject([{ role: 'user', content: 'My name is Ada.' }, { role: 'assistant' }])
    expect((await ask('Who am I?', { 'X-K8sClaw-Session': 'other' })).history).toEqual([])
  })

  test('holds a conversation that it remembers itself, and may say how the agent is to be', async () => {
    const { choices } = await client.chat.completions.create({
      model: 'default/tells',
      messages: [
        { role: 'system', content: 'Be brief.' },
        user('My name is Ada.'),
        { role: 'assistant', content: 'Hello Ada.' },
        user('Who am I?'),
      ],
    })
    const { task, systemPrompt, history } = JSON.parse(choices[0]?.message.content ?? '')
    expect({ systemPrompt, history }).toEqual({ systemPrompt: 'Be brief.', history: [] })
    expect(task).toContain('{"role":"assistant","content":"Hello Ada."}')
    expect(task).toMatch(/\nWho am I\?$/)
  })

  test('ends a run by leaving it, streaming or not, unless it says otherwise', async () => {
    const body = { model: 'default/talks', messages: [user('wait')] }
    const { data, response } = await client.chat.completions.create({ ...body, stream: true }).withResponse()
    for await (const { choices } of data) if (choices[0]?.delta.content?.includes('wait.')) break
    await expect.poll(phaseOf(response.headers.get('x-k8sclaw-run') ?? ''), { timeout: 60_000 }).toBe('Cancelled')

    const waiting = async () => (await runsOf('talks')).filter(({ status }) => status?.phase === 'Running')
    const leaving = new AbortController()
    const left = client.chat.completions.create(body, { signal: leaving.signal })
    await expect.poll(waiting, { timeout: 30_000 }).toHaveLength(1)
    const [run] = await waiting()
    leaving.abort()
    await expect(left).rejects.toThrow(OpenAI.APIUserAbortError)
    await expect.poll(phaseOf(run?.metadata.name ?? ''), { timeout: 60_000 }).toBe('Cancelled')

    const headers = { 'X-K8sClaw-When-Left': 'continue' }
    const goesOn = await client.chat.completions
      .create({ model: 'default/talks', messages: [user('soon')], stream: true }, { headers })
      .withResponse()
    goesOn.data.controller.abort()
    await expect
      .poll(phaseOf(goesOn.response.headers.get('x-k8sclaw-run') ?? ''), { timeout: 60_000 })
      .toBe('Succeeded')
  })

  test('hears of a run that failed, and does not have it done again', async () => {
    const body = { model: 'default/fails', messages: [user('x')] }
    const refused = await refusalOf(client.chat.completions.create(body))
    expect(refused).toMatchObject({ status: 502, code: 'run_failed' })
    expect(refused.message).toMatch(/the run fails-\w+ failed \(/)
    expect(await runsOf('fails')).toHaveLength(1)
    const stream = await client.chat.completions.create({ ...body, stream: true })
    expect(await refusalOf(read(stream))).toMatchObject({ code: 'run_failed' })
    expect(await runsOf('fails')).toHaveLength(2)
  })

  test('is refused what there is not, by name', async () => {
    const ask = (fields: object) =>
      refusalOf(client.chat.completions.create({ model: 'default/talks', messages: [user('x')], ...fields } as never))
    expect(await ask({ model: 'default/none' })).toMatchObject({ status: 404, code: 'model_not_found', param: 'model' })
    expect(await ask({ n: 2 })).toMatchObject({ status: 400, param: 'n' })
    expect(await ask({ messages: [user('x'), { role: 'tool', content: 'y' }] })).toMatchObject({
      status: 400,
      param: 'messages[1].role',
    })
    expect(await refusalOf(clientOf('nobody').models.list())).toMatchObject({ status: 401, code: 'invalid_api_key' })
    expect(await refusalOf(client.get('/nothing'))).toMatchObject({ status: 404 })
  })
})

test('a tenant sees the agents of its own namespace and talks with no others', async () => {
  const rbac = 'rbac.authorization.k8s.io/v1'
  const metadata = { name: 'blue', namespace: 'blue' }
  await platform.apply(
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'blue' } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    {
      ...{ apiVersion: rbac, kind: 'RoleBinding', metadata },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'edit' },
      subjects: [{ kind: 'ServiceAccount', name: 'blue', namespace: 'blue' }],
    },
  )
  const blue = clientOf((await platform.kubectl(['create', 'token', 'blue', '-n', 'blue'])).trim())
  expect((await blue.models.list()).data).toEqual([])
  const namespaced = blue.models.list({ query: { namespace: 'default' } })
  expect(await refusalOf(namespaced)).toMatchObject({ status: 403, code: 'forbidden' })
  const before = (await runsOf('talks')).length
  const body = { model: 'default/talks', messages: [user('x')] }
  expect(await refusalOf(blue.chat.completions.create(body))).toMatchObject({ status: 403 })
  expect(await runsOf('talks')).toHaveLength(before)
})
