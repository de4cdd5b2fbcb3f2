import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { taskFile } from '#core/ipc'
import { historyCall, sendIn, type ToldConversation, type UsageMessage } from '#core/journal'
import { type BridgeRig, portOn, type RigOptions, startBridgeRig } from '../../test/support/bridge.ts'
import {
  type Received,
  startGateway,
  startUpstream,
  type TestGateway,
  type TestUpstream,
} from '../../test/support/gateway.ts'
import { startNats, type TestNats } from '../../test/support/nats.ts'

/** The gateway is the real one; behind it the demo model with a script, or a provider-shaped server. */
const script = `
steps:
  - when: { user: 'Summarise this conversation.*earlier*old*kept before*' }
    reply: { text: 'Of the earlier and the old.', usage: { input: 70, output: 7 } }
  - when: { user: 'Summarise this conversation.*old*' }
    reply: { text: 'Of the old.', usage: { input: 50, output: 5 } }
  - reply: { error: { status: 400, message: 'not asked for' } }
`
let nats: TestNats
let gateway: TestGateway
let upstream: TestUpstream
let answerUpstream: (request: Received, response: ServerResponse) => void
let rig: BridgeRig
const metered: UsageMessage[] = []
const published: string[] = []
beforeAll(async () => {
  nats = await startNats()
  upstream = await startUpstream((request, response) => answerUpstream(request, response))
  const port = portOn(nats.connect({ kind: 'gateway' }))
  gateway = await startGateway({
    bus: {
      usage: async (run, message, options) => {
        metered.push(message)
        await port.usage(run, message, options)
      },
      live: async (run, message, options) => {
        published.push(message.text)
        await port.live(run, message, options)
      },
    },
    secrets: { 'team/demo': { script }, 'team/claude': { apiKey: 'provider-key', baseURL: upstream.url } },
  })
})
afterAll(async () => {
  await gateway.close()
  await upstream.close()
  await nats.close()
})
afterEach(async () => {
  await rig.close()
  metered.length = 0
})

const patient = { timeout: 30_000 }
const said = (...contents: string[]) =>
  contents.map((content, i) => ({ role: i % 2 === 0 ? ('user' as const) : ('assistant' as const), content }))
const told: ToldConversation = {
  history: said('kept before', 'kept?', 'new', 'new.'),
  historyCut: true,
  older: { messages: said('old', 'old.'), partial: false, keep: 2, through: 'b' },
}
const before = { run: 'earlier-run', model: 'demo/demo', content: 'the earlier', partial: false }
const task = () => taskFile.parse(JSON.parse(readFileSync(join(rig.ipcDir, 'input', 'task.json'), 'utf8')))
const answer = (output: ToldConversation) =>
  sendIn(rig.controller, rig.run, { type: 'answer', callId: historyCall.id, answer: { ok: true, output } })
const asked = (calls = 1) => vi.waitFor(async () => expect(await rig.entries('called')).toHaveLength(calls), patient)
const marked = (model: string, text: string) => ({
  role: 'user',
  content: `[A summary, made by ${model}, of the earlier part of this conversation. What follows it is word for word.]\n\n${text}`,
})

async function make(options: Partial<RigOptions> = {}, provider = 'demo', models = ['demo']) {
  rig = await startBridgeRig({
    ...{ nats, sessionKey: 'chat', sandbox: false, gatewayUrl: gateway.url },
    runToken: ({ uid, namespace, instance }) =>
      gateway.token({ uid, namespace, instance, provider, models, secretRef: provider === 'demo' ? 'demo' : 'claude' }),
    ...options,
  })
}

async function begin(output: ToldConversation, ...rest: Parameters<typeof make>) {
  await make(...rest)
  const started = rig.start()
  await asked()
  await answer(output)
  await started
}

describe('a run whose conversation does not fit', () => {
  it('has its model summarise what is older, as a call of its own, and goes on with that and the newest turns', async () => {
    await begin(told)
    expect(task()).toMatchObject({
      history: [marked('demo/demo', 'Of the old.'), ...said('new', 'new.')],
      historyCut: false,
    })
    const [, called] = await rig.entries('called')
    expect(called).toMatchObject({
      call: { id: 'bridge:summary', tool: 'summary', step: 1 },
      verdict: { action: 'allow', reason: 'step 1 of 64' },
    })
    const [, answered] = await rig.entries('answered')
    expect(answered).toMatchObject({
      answer: { ok: true, output: { text: 'Of the old.', through: 'b', messages: 4, partial: false } },
      tokens: { input: 50, output: 5 },
    })
    // What is used up of what the run may use; the agent is told of the rest.
    expect(task().limits).toMatchObject({ maxSteps: 63, maxTokens: 999_945 })
    await expect
      .poll(() => metered, patient)
      .toMatchObject([{ run: rig.run.uid, step: 1, inputTokens: 50, status: 200 }])
    rig.result('done')
    await vi.waitFor(async () => expect((await rig.record()).outcome).toBeDefined(), patient)
    expect((await rig.record()).outcome?.usage).toMatchObject({ modelCalls: 1, inputTokens: 50, outputTokens: 5 })
    expect(published).toEqual([])
  })

  it('makes it of the summary before, where there is one', async () => {
    await begin({ ...told, summary: before })
    expect(task().history[0]).toEqual(marked('demo/demo', 'Of the earlier and the old.'))
  })

  it('is told the summary that there is, and has none made, where what came after it fits', async () => {
    const { older: _, ...rest } = told
    await begin({ ...rest, summary: before })
    expect(task()).toMatchObject({ history: [marked('demo/demo', 'the earlier'), ...told.history], historyCut: false })
    expect(await rig.entries('called')).toHaveLength(1)
    expect(task().limits.maxSteps).toBe(64)
  })

  it('says of a summary that something older still is in none', async () => {
    await begin({ ...told, summary: { ...before, partial: true } })
    expect(task().historyCut).toBe(true)
    const [, answered] = await rig.entries('answered')
    expect(answered).toMatchObject({ answer: { output: { partial: true } } })
  })

  it('asks Anthropic in its own words', async () => {
    const bodies: Record<string, unknown>[] = []
    answerUpstream = ({ path, body }, response) => {
      bodies.push({ path, ...(JSON.parse(body) as object) })
      const content = [{ type: 'text', text: 'Summed up.' }]
      const usage = { input_tokens: 9, output_tokens: 2 }
      const reply = {
        id: 'm',
        type: 'message',
        role: 'assistant',
        model: 'claude',
        content,
        stop_reason: 'end_turn',
        usage,
      }
      response.setHeader('content-type', 'application/json').end(JSON.stringify(reply))
    }
    await begin(told, { model: { provider: 'anthropic', name: 'claude' } }, 'anthropic', ['claude'])
    expect(task().history[0]).toEqual(marked('anthropic/claude', 'Summed up.'))
    expect(bodies).toMatchObject([
      { path: '/v1/messages', model: 'claude', max_tokens: 2048, messages: [{ role: 'user' }] },
    ])
    const [, answered] = await rig.entries('answered')
    expect(answered?.tokens).toEqual({ input: 9, output: 2 })
  })
})

describe('where no summary can be made, it goes on with its conversation cut, and records that', () => {
  const cut = async (code: string, reason: RegExp) => {
    expect(task()).toMatchObject({ history: told.history, historyCut: true })
    const [, answered] = await rig.entries('answered')
    expect(answered).toMatchObject({ callId: 'bridge:summary', answer: { ok: false, error: { code } } })
    expect(await rig.entries('noted')).toMatchObject([
      { code: 'summary_unavailable', message: expect.stringMatching(reason) },
    ])
  }

  it('because the model refuses', async () => {
    await begin({ ...told, older: { messages: said('other'), partial: false, keep: 2, through: 'b' } })
    await cut('failed', /the gateway answered 400/)
    await expect.poll(() => metered, patient).toMatchObject([{ status: 400 }])
  })

  it('because the run may make no call before its last', async () => {
    const limits = { timeoutSeconds: 600, maxSteps: 1, maxTokens: 1_000_000 }
    await begin(told, { effective: { limits } })
    await cut('denied', /last step/)
    expect(task().limits.maxSteps).toBe(1)
    expect(metered).toEqual([])
  })

  it('because the run is cancelled meanwhile, which it then is', async () => {
    answerUpstream = () => {}
    await make({ model: { provider: 'anthropic', name: 'claude' } }, 'anthropic', ['claude'])
    const started = rig.start()
    await asked()
    await answer(told)
    await asked(2)
    await sendIn(rig.controller, rig.run, { type: 'cancel', reason: 'enough', graceSeconds: 0 })
    await started
    await cut('timeout', /abort/)
    await vi.waitFor(async () => expect((await rig.record()).outcome?.phase).toBe('Cancelled'), patient)
  })
})

it('a bridge that is killed before the answer is followed by one that asks again, under the same call', async () => {
  const answers: ServerResponse[] = []
  answerUpstream = (_, response) => void answers.push(response)
  await make({ model: { provider: 'anthropic', name: 'claude' } }, 'anthropic', ['claude'])
  const first = rig.start().catch(() => 'killed')
  await asked()
  await answer(told)
  await asked(2)
  await vi.waitFor(() => expect(answers).toHaveLength(1), patient)
  await rig.kill9()
  expect(await first).toBe('killed')
  const second = rig.start()
  await vi.waitFor(() => expect(answers).toHaveLength(2), patient)
  for (const response of answers) {
    const content = [{ type: 'text', text: 'At last.' }]
    const reply = { id: 'm', type: 'message', role: 'assistant', content, usage: { input_tokens: 1, output_tokens: 1 } }
    response.setHeader('content-type', 'application/json').end(JSON.stringify(reply))
  }
  await second
  expect(task().history[0]).toEqual(marked('anthropic/claude', 'At last.'))
  expect((await rig.entries('called')).map(({ call }) => call.id)).toEqual(['bridge:history', 'bridge:summary'])
  expect((await rig.entries('answered')).map(({ callId }) => callId)).toEqual(['bridge:history', 'bridge:summary'])
  // And one that is killed after it knows the answer.
  await rig.kill9()
  await rig.start()
  expect(await rig.entries('answered')).toHaveLength(2)
})
