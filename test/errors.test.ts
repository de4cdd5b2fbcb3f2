import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import type { AgentRun } from '#core/kinds'
import { allowAll, demoScript, instance, run } from './support/objects.ts'
import { type Finished, startTestPlatform, type TestPlatform } from './support/platform.ts'
import { type StreamEvent, streamOf } from './support/stream.ts'

/*
 * What a person is told who does something wrong: the field, or the line where a document does not parse, in one
 * sentence and with a status that says no.
 */

const samples = join(import.meta.dirname, '..', 'config', 'samples')
const runsPath = '/api/v1/namespaces/default/runs'

let platform: TestPlatform
let folder: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'k8sclaw-errors-'))
  platform = await startTestPlatform()
  await platform.apply(instance('bot'))
})
afterAll(async () => {
  await platform?.close()
  rmSync(folder, { recursive: true, force: true })
})

async function refused(document: object | string): Promise<string> {
  const text = typeof document === 'string' ? document : JSON.stringify(document)
  return saysNo(await platform.tryKubectl(['apply', '-f', '-'], text))
}

function saysNo({ code, stdout, stderr }: Finished): string {
  expect(code, stdout).toBe(1)
  return stderr.trim()
}

async function post(body: unknown, init: RequestInit = {}): Promise<{ status: number; problem: Problem }> {
  const response = await platform.fetch(runsPath, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...init,
    headers: { 'content-type': 'application/json', ...init.headers },
  })
  return { status: response.status, problem: (await response.json()) as Problem }
}
interface Problem {
  code: string
  detail: string
  field?: string
}

function runOf(name: string): Promise<AgentRun> {
  return platform.getJson<AgentRun>('get', 'agentrun', name)
}

async function untilPhase(name: string, phase: string): Promise<AgentRun> {
  await platform.kubectl(['wait', `agentrun/${name}`, `--for=jsonpath={.status.phase}=${phase}`, '--timeout=60s'])
  return await runOf(name)
}

async function until(name: string, reason: string): Promise<AgentRun> {
  await expect.poll(async () => (await runOf(name)).status?.reason, { timeout: 30_000 }).toBe(reason)
  return await runOf(name)
}

const big = 'x'.repeat(10 * 1024 * 1024)

describe('kubectl names what is wrong', () => {
  test.each([
    ['an unknown field', run('r', 'bot', { tsk: 'x' }), 'unknown field "spec.tsk"'],
    [
      'an unknown field of a model',
      run('r', 'bot', { model: { provider: 'demo', name: 'x', temprature: 1 } }),
      'spec.model.temprature',
    ],
    [
      'an unknown field of an agent',
      instance('r', {}, { agents: { default: { model: { provider: 'demo', name: 'demo' }, sandbx: {} } } }),
      'spec.agents.default.sandbx',
    ],
    [
      'an unknown gate',
      { ...allowAll(), spec: { featureGates: { everything: true } } },
      'spec.featureGates.everything',
    ],
    [
      'an unknown action',
      { ...allowAll(), spec: { toolGating: { defaultAction: 'ask' } } },
      'spec.toolGating.defaultAction',
    ],
    ['a string where a number is wanted', instance('r', {}, { maxConcurrentRuns: 'many' }), 'spec.maxConcurrentRuns'],
    ['a number where a string is wanted', run('r', 'bot', { task: 7 }), 'spec.task'],
    ['a list where a map is wanted', instance('r', {}, { agents: [] }), 'spec.agents'],
    ['a number below the least', instance('r', {}, { maxConcurrentRuns: 0 }), 'spec.maxConcurrentRuns'],
    ['a timeout that is none', run('r', 'bot', { timeout: 'soon' }), 'spec.timeout'],
    ['an empty task', run('r', 'bot', { task: '' }), 'spec.task'],
    ['no default agent', instance('r', {}, { agents: {} }), 'an agent named default is required'],
    ['a task of 10 MB', run('r', 'bot', { task: big }), 'Request entity too large: limit is 3145728'],
    ['a task of 1 MB', run('r', 'bot', { task: 'x'.repeat(1024 * 1024) }), 'spec.task'],
    ['a task longer than 128 Ki', run('r', 'bot', { task: 'x'.repeat(131_073) }), 'spec.task'],
    ['a NUL character in a task', run('r', 'bot', { task: 'a\0b' }), 'spec.task'],
    ['a NUL character in a prompt', run('r', 'bot', { systemPrompt: 'a\0b' }), 'spec.systemPrompt'],
    ['an instance with a dot in its name', instance('a.b'), 'the name of a ClawInstance must be a DNS label'],
    ['a reference with a dot', run('r', 'a.b'), 'spec.instanceRef.name'],
    ['a run with a name that none can have', run('Not_A_Name', 'bot'), 'metadata.name'],
    ['an agent that the instance does not have', run('r', 'bot', { agent: 'cook' }), 'spec.agent'],
    [
      'a provider without a credential',
      run('r', 'bot', { model: { provider: 'openai', name: 'x' } }),
      'spec.model.provider',
    ],
  ])('%s', async (_, document, field) => {
    const said = await refused(document)
    expect(said.length).toBeLessThan(2000)
    expect(said).toContain(field)
  })

  test('a document that is no YAML, by its line', async () => {
    const text = stringify(run('r', 'bot')).replace('  name: r', '  name: r\n  labels: {')
    expect(await refused(text)).toMatch(/line \d+/)
  })

  test('a kind that does not exist, and a List, by what to do instead', async () => {
    const unknown = { ...run('r', 'bot'), kind: 'AgentRunn' }
    expect(await refused(unknown)).toContain('kubectl api-resources')
    expect(await refused({ apiVersion: 'v1', kind: 'List', items: [run('r', 'bot')] })).toContain('is a List')
  })

  test('what only the whole platform knows, and once', async () => {
    expect(await refused(run('r', 'bot', { agent: 'cook' }))).toBe(
      'The request is invalid: spec.agent: instance bot has no agent cook; it has default (UnknownAgent)',
    )
  })

  test('and stores nothing of it', async () => {
    expect(await platform.kubectl(['get', 'agentruns', '-o', 'name'])).toBe('')
  })
})

describe('the HTTP API names what is wrong', () => {
  const body = { instance: 'bot', task: 'do it' }
  test.each([
    ['an unknown field', { ...body, tsk: 'x' }, 422, 'tsk'],
    ['an unknown field of a model', { ...body, model: { provider: 'demo', name: 'x', nam: 'y' } }, 422, 'model.nam'],
    ['a wrong type', { ...body, task: 7 }, 422, 'task'],
    ['no task', { instance: 'bot' }, 422, 'task'],
    ['a NUL character', { ...body, task: 'a\0b' }, 422, 'task'],
    ['a task longer than 128 Ki', { ...body, task: 'x'.repeat(131_073) }, 422, 'task'],
    ['an instance with a dot', { ...body, instance: 'a.b' }, 422, 'instance'],
    ['an agent that the instance does not have', { ...body, agent: 'cook' }, 422, 'spec.agent'],
  ])('%s', async (_, wrong, status, field) => {
    const answer = await post(wrong)
    expect(answer).toMatchObject({ status, problem: { code: 'invalid', field } })
    expect(answer.problem.detail).toContain(field)
  })

  test('a body of 10 MB', async () => {
    const answer = await post({ ...body, task: big })
    expect(answer).toMatchObject({
      status: 413,
      problem: { code: 'too_large', field: 'task', detail: expect.stringContaining('a task has') },
    })
  })

  test('what is not JSON, by its line', async () => {
    const answer = await post('{\n  "instance": "bot",\n  "task": \n}')
    expect(answer).toMatchObject({
      status: 400,
      problem: { code: 'malformed', detail: expect.stringContaining('line 4') },
    })
  })

  test('another content type, an unknown path, and a run that is not there', async () => {
    expect(await post(body, { headers: { 'content-type': 'text/plain' } })).toMatchObject({ status: 415 })
    expect((await platform.fetch('/api/v1/nothing')).status).toBe(404)
    expect((await platform.fetch(`${runsPath}/nobody`)).status).toBe(404)
    expect((await platform.fetch(`${runsPath}/nobody/events`)).status).toBe(404)
  })

  test('and creates what is right', async () => {
    const { status, problem } = await post(body)
    expect(status).toBe(201)
    const { name } = (problem as unknown as AgentRun).metadata
    await untilPhase(name, 'Succeeded')
    const again = await platform.fetch(`${runsPath}/${name}`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: '{"cancel":false}',
    })
    expect(await again.json()).toMatchObject({ code: 'invalid', field: 'cancel' })
  })
})

describe('a run', () => {
  test('is immutable but for cancel, which only turns true, and ends it', async () => {
    const { secret, authRefs } = demoScript('slow', 'steps: [{ reply: { text: "I think.", delayMs: 60000 } }]')
    await platform.apply(secret, instance('slow', {}, { authRefs }), run('slow', 'slow'))
    await untilPhase('slow', 'Running')
    const patch = async (spec: object) =>
      await platform.tryKubectl(['patch', 'agentrun', 'slow', '--type=merge', '-p', JSON.stringify({ spec })])
    expect(saysNo(await patch({ task: 'another' }))).toMatch(/spec.*immutable.*cancel/)
    expect(saysNo(await patch({ sessionKey: 'new' }))).toContain('immutable')
    expect((await patch({ cancel: true })).code).toBe(0)
    expect((await untilPhase('slow', 'Cancelled')).status).toMatchObject({ reason: 'Cancelled' })
    expect(saysNo(await patch({ cancel: false }))).toContain('only turns true')
    expect(saysNo(await patch({ cancel: null }))).toContain('only turns true')
  })

  test('that is denied a tool says so in its stream, with the policy in the words', async () => {
    const script = stringify({
      steps: [
        { when: { turns: 0 }, reply: { toolCalls: [{ name: 'exec', arguments: { script: 'true' } }] } },
        { reply: { text: 'It said: {{result}}' } },
      ],
    })
    const { secret, authRefs } = demoScript('denied', script)
    const policy = { ...allowAll(), metadata: { name: 'strict', namespace: 'default' } }
    const spec = {
      toolGating: { defaultAction: 'allow', rules: [{ tool: 'ex*', action: 'deny' }] },
      featureGates: { 'code-execution': true },
    }
    await platform.apply(
      secret,
      { ...policy, spec },
      instance('strict', {}, { authRefs, policyRef: { name: 'strict' } }),
    )
    await platform.apply(run('denied', 'strict'))
    const seen: StreamEvent[] = []
    await streamOf(platform, 'default', 'denied', (event) => seen.push(event)).done
    const called = seen.find((event) => event.type === 'called' && JSON.stringify(event.data).includes('"exec"'))
    expect(JSON.stringify(called?.data)).toMatch(/deny/)
    expect(JSON.stringify(called?.data)).toMatch(/strict/)
    expect((await untilPhase('denied', 'Succeeded')).status?.result).toMatch(/denied.*strict/s)
  })

  test('waits for what it refers to, in whatever order that comes', async () => {
    await platform.apply(run('early', 'late'))
    const waiting = await until('early', 'InstanceMissing')
    expect(waiting.status?.phase).toBe('Pending')
    expect(waiting.status?.conditions).toContainEqual(
      expect.objectContaining({
        type: 'Resolved',
        status: 'False',
        message: expect.stringContaining('ClawInstance late'),
      }),
    )
    await platform.apply(
      instance('late', {}, { policyRef: { name: 'later' }, skills: [{ skillPackRef: { name: 'last' } }] }),
    )
    await until('early', 'PolicyMissing')
    await platform.apply({ ...allowAll(), metadata: { name: 'later', namespace: 'default' } })
    await until('early', 'SkillPackMissing')
    await platform.apply({
      apiVersion: 'k8sclaw.io/v1alpha1',
      kind: 'SkillPack',
      metadata: { name: 'last', namespace: 'default' },
      spec: { skills: [{ name: 'git', description: 'How to use git.', content: '# git' }] },
    })
    expect((await untilPhase('early', 'Succeeded')).status?.effective).toMatchObject({ policy: { name: 'later' } })
  })

  // Those in folders below are applied by whoever wants them.
  const files = readdirSync(samples).filter((name) => name.endsWith('.yaml'))
  test.each([
    ['as they are', files],
    ['backwards', files.toReversed()],
  ])('of config/samples succeeds with the files applied in any order: %s', async (_, order) => {
    const ordered = join(folder, String(order === files))
    for (const [i, file] of order.entries()) cpSync(join(samples, file), join(ordered, `${i}-${file}`))
    const namespace = `samples-${order === files}`
    await platform.kubectl(['create', 'namespace', namespace])
    for (const file of readdirSync(ordered)) {
      const text = readFileSync(join(ordered, file), 'utf8').replace('namespace: default', `namespace: ${namespace}`)
      writeFileSync(join(ordered, file), text)
    }
    await platform.kubectl(['apply', '-f', ordered])
    await platform.kubectl([
      ...['wait', 'agentrun/sample', '-n', namespace, '--for=jsonpath={.status.phase}=Succeeded', '--timeout=60s'],
    ])
  })
})

describe('a caller', () => {
  const as = (token: string, path = runsPath, init: RequestInit = {}) =>
    platform.fetch(path, { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } })

  test('with a wrong token is refused, everywhere', async () => {
    const response = await as('wrong')
    expect(response.status).toBe(401)
    expect(await response.json()).toMatchObject({ code: 'unauthenticated' })
    expect((await as('wrong', `${runsPath}/any/events`)).status).toBe(401)
    const direct = await platform.tryKubectl(['get', 'agentruns', '--token=wrong'])
    expect(saysNo(direct)).toMatch(/Unauthorized|logged in/)
  })

  test('without rights is told which one is missing, and has exactly what a Role gives', async () => {
    await platform.apply(run('mine', 'bot'), run('other', 'bot'))
    await platform.kubectl(['create', 'serviceaccount', 'reader'])
    const token = (await platform.kubectl(['create', 'token', 'reader'])).trim()
    const refusal = await as(token)
    expect(refusal.status).toBe(403)
    expect(await refusal.json()).toMatchObject({
      code: 'forbidden',
      detail: expect.stringMatching(/reader.*list.*agentruns/),
    })
    expect((await as(token, `${runsPath}/mine/events`)).status).toBe(403)
    const me = '--as=system:serviceaccount:default:reader'
    expect((await platform.tryKubectl(['auth', 'can-i', 'get', 'agentruns', me])).stdout.trim()).toBe('no')

    await platform.kubectl(['create', 'role', 'reader', '--verb=get', '--resource=agentruns', '--resource-name=mine'])
    await platform.kubectl(['create', 'rolebinding', 'reader', '--role=reader', '--serviceaccount=default:reader'])
    expect((await as(token, `${runsPath}/mine`)).status).toBe(200)
    expect((await as(token, `${runsPath}/other`)).status).toBe(403)
    expect((await as(token)).status).toBe(403)
    const events = await as(token, `${runsPath}/mine/events`, { headers: { accept: 'text/event-stream' } })
    expect(events.status).toBe(200)
    expect(await events.text()).toContain('event: outcome')
    expect((await as(token, `${runsPath}/other/events`)).status).toBe(403)
    const created = await as(token, runsPath, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ instance: 'bot', task: 'mine' }),
    })
    expect(created.status).toBe(403)
    expect((await platform.kubectl(['auth', 'can-i', 'get', 'agentruns/mine', me])).trim()).toBe('yes')
    expect((await platform.tryKubectl(['auth', 'can-i', 'delete', 'agentruns/mine', me])).stdout.trim()).toBe('no')
  })

  test('lends an instance no Secret and no policy that it may not use itself', async () => {
    await platform.kubectl(['create', 'serviceaccount', 'writer'])
    await platform.kubectl([
      ...['create', 'role', 'writer', '--verb=get,list,create,update,patch', '--resource=clawinstances'],
    ])
    await platform.kubectl(['create', 'rolebinding', 'writer', '--role=writer', '--serviceaccount=default:writer'])
    await platform.kubectl(['create', 'secret', 'generic', 'key', '--from-literal=apiKey=x'])
    const write = async (spec: object) =>
      await platform.tryKubectl(
        ['create', '-f', '-', '--as=system:serviceaccount:default:writer'],
        JSON.stringify(instance('lent', {}, spec)),
      )
    const authRefs = [{ provider: 'openai', secretRef: { name: 'key' } }]
    expect(saysNo(await write({ authRefs }))).toContain('spec.authRefs.0.secretRef')
    expect(saysNo(await write({ policyRef: { name: 'strict' } }))).toContain('spec.policyRef')
    expect((await write({})).code).toBe(0)
  })
})

describe('kubectl of every day', () => {
  test('creates by typed commands', async () => {
    expect(await platform.kubectl(['create', 'secret', 'generic', 's', '--from-literal=k=v'])).toBe(
      'secret/s created\n',
    )
    expect(await platform.kubectl(['create', 'configmap', 'c', '--from-literal=k=v'])).toBe('configmap/c created\n')
    expect(await platform.kubectl(['create', 'namespace', 'team'])).toBe('namespace/team created\n')
    expect(await platform.kubectl(['create', 'serviceaccount', 'sa', '-n', 'team'])).toBe('serviceaccount/sa created\n')
  })

  test('explains, describes, lists, waits for and reads the log of a run', async () => {
    await platform.apply(run('daily', 'bot'))
    const { status } = await untilPhase('daily', 'Succeeded')
    expect(await platform.kubectl(['wait', 'agentrun/daily', '--for=condition=Completed', '--timeout=10s'])).toContain(
      'met',
    )
    expect(await platform.kubectl(['explain', 'agentrun.spec'])).toMatch(/sessionKey\s+<string>[\s\S]*one at a time/)
    expect(await platform.kubectl(['describe', 'agentrun', 'daily'])).toMatch(/Phase:\s+Succeeded/)
    expect(await platform.kubectl(['get', 'ar'])).toMatch(/NAME\s+INSTANCE\s+PHASE[\s\S]*daily\s+bot\s+Succeeded/)
    expect(await platform.kubectl(['get', 'all', '-n', 'k8sclaw-system'])).toMatch(
      /deployment.apps\/k8sclaw-controller\s+1\/1/,
    )
    expect(await platform.kubectl(['get', 'k8sclaw'])).toContain('clawinstance.k8sclaw.io/bot')
    expect(await platform.kubectl(['logs', `job/${status?.jobName}`, '-c', 'bridge'])).toContain('"msg"')
    expect(await platform.kubectl(['logs', `job/${status?.jobName}`, '--all-containers', '--tail=3'])).toContain(
      '"msg"',
    )
    expect(await platform.kubectl(['get', 'events'])).not.toContain('Error')
  })

  test('is told how to do without server-side apply', async () => {
    const said = await platform.tryKubectl(['apply', '--server-side', '-f', '-'], JSON.stringify(run('ssa', 'bot')))
    expect(saysNo(said)).toContain('without --server-side')
  })

  test('deletes a run, and with it its Job and its pod', async () => {
    const { status } = await runOf('daily')
    await platform.kubectl(['delete', 'agentrun', 'daily'])
    await expect
      .poll(async () => await platform.kubectl(['get', 'jobs,pods', '-l', `job-name=${status?.jobName}`, '-o', 'name']))
      .toBe('')
  })
})
