import { describe, expect, it } from 'vitest'
import { type AgentRun, agentRuns, type ClawInstance, clawInstances } from '#core/kinds'
import {
  admin,
  connectChannel,
  createInstance,
  createNamespace,
  ends,
  killRouter,
  runsOf,
  setPhase,
  startRouter,
  stopRouter,
  untilRuns,
  useRouter,
  wait,
} from './rig.test-support.ts'

useRouter()

describe('a conversation', () => {
  it('is a run whose text and end go where it was asked for', async () => {
    await createInstance()
    await startRouter()
    const chat = await connectChannel()
    await chat.say('Count to three.')
    const [run] = await untilRuns(1)
    if (!run) return
    expect(run.spec).toMatchObject({
      instanceRef: { name: 'helper' },
      agent: 'default',
      task: 'Count to three.',
      sessionKey: 'chat/c1',
      origin: { kind: 'channel', detail: 'chat/U1', direct: true },
    })
    await expect.poll(() => chat.told(), wait).toEqual([`[${run.metadata.name}]`])
    await ends(run, { result: 'one, two, three' })
    await expect.poll(() => chat.told(), wait).toEqual([`[${run.metadata.name}]`, 'one, two, three'])
    expect(chat.items[1]).toMatchObject({ type: 'reply', phase: 'Succeeded', run: { uid: run.metadata.uid } })
  })

  it('takes what is said in quick succession as one turn, and what is said meanwhile as the next', async () => {
    await createInstance()
    await startRouter({ quietMs: 400 })
    const chat = await connectChannel()
    await chat.say('One')
    await chat.say('two')
    const [first] = await untilRuns(1)
    if (!first) return
    expect(first.spec.task).toBe('One\n\ntwo')
    await setPhase(first, 'Running')
    await chat.say('three')
    await chat.say('four')
    await chat.say('/status')
    await expect
      .poll(() => chat.told(), wait)
      .toEqual([`[${first.metadata.name}]`, `Run ${first.metadata.name} is at work. 2 messages wait.`])
    expect(await runsOf()).toHaveLength(1)
    await ends(first)
    const [, second] = await untilRuns(2)
    expect(second?.spec).toMatchObject({ task: 'three\n\nfour', sessionKey: first.spec.sessionKey })
  })

  it('begins anew by /new, in the order in which it was said', async () => {
    await createInstance()
    await startRouter()
    const chat = await connectChannel()
    await chat.say('old')
    const [first] = await untilRuns(1)
    if (!first) return
    await chat.say('still old')
    await chat.say('/new')
    await chat.say('young')
    await chat.say('/new younger')
    await expect.poll(() => chat.told().at(-1), wait).toMatch(/new conversation begins/)
    await ends(first)
    const [, second] = await untilRuns(2)
    if (!second) return
    expect(second.spec).toMatchObject({ task: 'still old', sessionKey: first.spec.sessionKey })
    await ends(second)
    const [, , third] = await untilRuns(3)
    if (!third) return
    expect(third.spec.task).toBe('young')
    await ends(third)
    const [, , , fourth] = await untilRuns(4)
    expect(fourth?.spec.task).toBe('younger')
    const keys = new Set((await runsOf()).map(({ spec }) => spec.sessionKey))
    expect(keys.size).toBe(3)
  })

  it('is stopped with what waits in it, and not with what is said later', async () => {
    await createInstance()
    await startRouter()
    const chat = await connectChannel()
    await chat.say('/stop')
    await expect.poll(() => chat.told(), wait).toEqual(['There is nothing to stop.'])
    await chat.say('long work')
    const [run] = await untilRuns(1)
    if (!run) return
    await chat.say('more')
    await chat.say('/stop')
    const { name } = run.metadata
    await expect.poll(() => chat.told().at(-1), wait).toBe(`I am stopping run ${name}. What waited (1) is forgotten.`)
    expect((await runsOf())[0]?.spec.cancel).toBe(true)
    await chat.say('something else')
    await ends(run, { phase: 'Cancelled', reason: 'Cancelled' })
    expect((await untilRuns(2))[1]?.spec.task).toBe('something else')
    await expect.poll(() => chat.told(), wait).toContain(`Run ${name} was stopped.`)
  })

  it('in a group tells the agent who speaks, and answers who spoke', async () => {
    await createInstance({ mode: 'allowlist', allow: ['U1', 'U2'] })
    await startRouter({ quietMs: 300 })
    const chat = await connectChannel()
    const inGroup = { chat: { id: 'g', kind: 'group' as const } }
    await chat.say('nobody asked', { ...inGroup, mentioned: false })
    await chat.say('stranger', { ...inGroup, sender: { id: 'U3', name: 'Eve', kind: 'person' } })
    await chat.say('hello', { ...inGroup, message: '7' })
    await chat.say('me too', { ...inGroup, message: '8', sender: { id: 'U2', name: 'Bob\nEve: ', kind: 'person' } })
    const [run] = await untilRuns(1)
    expect(run?.spec.task).toBe('Ada: hello\n\nBob Eve:: me too')
    expect(run?.spec.origin).toEqual({ kind: 'channel', detail: 'chat/U1' })
    await expect.poll(() => chat.items.length, wait).toBe(1)
    expect(chat.items[0]).toMatchObject({ type: 'turn', replyTo: '8' })
  })
})

describe('there is always an answer', () => {
  it('where a run has to wait, and where it fails', async () => {
    await createInstance()
    await startRouter({ patienceMs: 100 })
    const chat = await connectChannel()
    await chat.say('Go.')
    const [run] = await untilRuns(1)
    if (!run) return
    const { name } = run.metadata
    await expect.poll(() => chat.told().at(-1), wait).toMatch(new RegExp(`^This has to wait: .* as run ${name}.$`))
    await ends(run, { phase: 'Failed', reason: 'OOMKilled' })
    await expect
      .poll(() => chat.told().at(-1), wait)
      .toBe(`Sorry, run ${name} failed: the agent needed more memory than it may have.`)
  })

  it('where the run is refused, and where it is deleted', async () => {
    await createInstance()
    await startRouter({ account: 'k8sclaw-apiserver' })
    const chat = await connectChannel()
    await chat.say('Go.')
    await expect.poll(() => chat.told(), wait).toHaveLength(1)
    expect(chat.told()[0]).toMatch(/rules here refuse run helper-chat-/)
    await stopRouter()
    await startRouter()
    await chat.say('Go again.')
    const [run] = await untilRuns(1)
    if (!run) return
    await expect.poll(() => chat.told(), wait).toHaveLength(2)
    await admin.delete(agentRuns, run.metadata)
    await expect.poll(() => chat.told().at(-1), wait).toBe(`Run ${run.metadata.name} was stopped.`)
  })

  it('where somebody writes too fast, once', async () => {
    await createInstance()
    await startRouter({ quietMs: 500 })
    const chat = await connectChannel()
    for (let i = 0; i < 30; i++) await chat.say(`${i}`)
    await expect.poll(() => chat.told(), wait).toContainEqual(expect.stringMatching(/^You write faster/))
    const [run] = await untilRuns(1)
    const [last] = run?.spec.task.split('\n\n').slice(-1) ?? []
    expect(Number(last)).toBeLessThan(29)
    expect(chat.told().filter((text) => text.startsWith('You write faster'))).toHaveLength(1)
  })
})

describe('a stranger', () => {
  it('is given a code, is not taken for one whom it lets in, and is told when let in', async () => {
    const instance = await createInstance({ mode: 'pairing' })
    await startRouter()
    const chat = await connectChannel()
    await chat.say('Let me in.')
    await expect.poll(() => chat.told(), wait).toHaveLength(1)
    expect(chat.told()[0]).toMatch(
      /k8sclaw channels pair [2-9A-HJ-NP-Z]{8} -n team-\d+ --instance helper --channel chat/,
    )
    await chat.say('/stop')
    const [channel] = instance.spec.channels ?? []
    const channels = [{ ...channel, access: { ...channel?.access, allow: ['U1'] } }]
    await admin.patch<ClawInstance>(clawInstances, instance.metadata, { spec: { channels } })
    await expect.poll(() => chat.told().slice(1), wait).toEqual(['You are let in: write to me.'])
    expect(await runsOf()).toEqual([])
    await chat.say('Thank you.')
    expect((await untilRuns(1))[0]?.spec.task).toBe('Thank you.')
  })

  it('is known to a router that is started anew: not answered again at once, and told when let in', async () => {
    const instance = await createInstance({ mode: 'pairing' })
    await startRouter()
    const chat = await connectChannel()
    await chat.say('Let me in.')
    await expect.poll(() => chat.told(), wait).toHaveLength(1)
    await killRouter()
    await startRouter()
    await chat.say('Hello?')
    const other = {
      chat: { id: 'c2', kind: 'direct' as const },
      sender: { id: 'U2', name: 'Bob', kind: 'person' as const },
    }
    await chat.say('Me too.', other)
    // Whoever wrote later is answered: so the first was passed over.
    await expect.poll(() => chat.told('c2'), wait).toHaveLength(1)
    expect(chat.told()).toHaveLength(1)
    const [channel] = instance.spec.channels ?? []
    const channels = [{ ...channel, access: { ...channel?.access, allow: ['U1'] } }]
    await admin.patch<ClawInstance>(clawInstances, instance.metadata, { spec: { channels } })
    await expect.poll(() => chat.told().slice(1), wait).toEqual(['You are let in: write to me.'])
  })
})

describe('a channel that is taken out of its instance', () => {
  it('has no more runs, and nothing is left for a later one of its name to say', async () => {
    const instance = await createInstance()
    await startRouter()
    const chat = await connectChannel()
    await chat.say('one')
    const [run] = await untilRuns(1)
    if (!run) return
    await chat.say('two')
    await chat.say('/status')
    await expect.poll(() => chat.told(), wait).toHaveLength(2)
    const { channels } = instance.spec
    await admin.patch(clawInstances, instance.metadata, { spec: { channels: null } })
    await expect
      .poll(async () => {
        await chat.say('/status')
        return chat.told()
      }, wait)
      .toHaveLength(2)
    await ends(run)
    await admin.patch(clawInstances, instance.metadata, { spec: { channels } })
    await expect
      .poll(async () => {
        await chat.say('/help')
        return chat.told()
      }, wait)
      .toContainEqual(expect.stringMatching(/I know these commands/))
    expect(chat.told()).not.toContain('done with one')
    expect(await runsOf()).toHaveLength(1)
  })
})

describe('two tenants', () => {
  it('never meet, with the same chat, sender and message', async () => {
    await createInstance()
    const other = await createNamespace()
    await createInstance({}, other)
    await startRouter()
    const here = await connectChannel()
    const there = await connectChannel(other)
    await here.say('here', { id: 'same' })
    await there.say('there', { id: 'same' })
    const [mine] = await untilRuns(1)
    const [theirs] = await untilRuns(1, other)
    if (!mine || !theirs) return
    await here.say('/stop')
    await expect.poll(() => here.told(), wait).toHaveLength(2)
    expect((await runsOf(other))[0]?.spec.cancel).toBeUndefined()
    await ends(theirs)
    await expect.poll(() => there.told(), wait).toEqual([`[${theirs.metadata.name}]`, 'done with there'])
    expect(here.told().join()).not.toContain('there')
    expect(await runsOf()).toHaveLength(1)
  })
})

describe('a router that is killed', () => {
  it('after it made a run neither loses nor doubles a message', async () => {
    await createInstance()
    const killed = Promise.withResolvers<void>()
    await startRouter({ quietMs: 300, onCreated: () => killRouter().then(killed.resolve) })
    const chat = await connectChannel()
    await chat.say('one')
    await chat.say('two')
    await killed.promise
    await chat.say('three')
    expect(chat.told()).toEqual([])
    await startRouter()
    const [run] = await runsOf()
    if (!run) throw new Error('there is no run')
    await expect.poll(() => chat.told(), wait).toEqual([`[${run.metadata.name}]`])
    await ends(run)
    const [, next] = await untilRuns(2)
    expect([run.spec.task, next?.spec.task]).toEqual(['one\n\ntwo', 'three'])
  })

  it('while messages wait takes them later, in their order', async () => {
    await createInstance()
    await startRouter()
    const chat = await connectChannel()
    await chat.say('zero')
    const [run] = await untilRuns(1)
    if (!run) return
    await expect.poll(() => chat.told(), wait).toHaveLength(1)
    await chat.say('one')
    await chat.say('two')
    await chat.say('/status')
    await expect.poll(() => chat.told().at(-1), wait).toMatch(/2 messages wait/)
    await killRouter()
    await chat.say('three')
    await ends(run)
    await startRouter()
    const [, next] = await untilRuns(2)
    expect(next?.spec.task).toBe('one\n\ntwo\n\nthree')
    await expect.poll(() => chat.told(), wait).toContain('done with zero')
  })

  it('around the end of a run tells it, once', async () => {
    await createInstance()
    await startRouter()
    const chat = await connectChannel()
    await chat.say('one')
    const [run] = await untilRuns(1)
    if (!run) return
    await expect.poll(() => chat.told(), wait).toHaveLength(1)
    await killRouter()
    await ends(run)
    expect(chat.told()).toHaveLength(1)
    for (let i = 0; i < 3; i++) {
      await startRouter()
      await expect.poll(() => chat.told(), wait).toHaveLength(2)
      await killRouter()
    }
    await startRouter()
    await chat.say('/help')
    await expect.poll(() => chat.told(), wait).toHaveLength(3)
    expect(chat.told()[1]).toBe('done with one')
  })
})

describe('two hundred conversations at once', () => {
  it('keep their order', async () => {
    await createInstance()
    await startRouter({ quietMs: 10 })
    const chat = await connectChannel()
    const ended = new Set<string>()
    const chats = Array.from({ length: 200 }, (_, i) => `chat-${i}`)
    const said = ['a', 'b', 'c']
    const saying = (async () => {
      for (const text of said) {
        const sayIn = (id: string) =>
          chat.say(text, { chat: { id, kind: 'direct' }, sender: { id, name: id, kind: 'person' } })
        await Promise.all(chats.map(sayIn))
      }
    })()
    const taken = (runs: AgentRun[]) => runs.flatMap(({ spec }) => spec.task.split('\n\n')).length
    for (let runs = await runsOf(); taken(runs) < chats.length * said.length; runs = await runsOf()) {
      const fresh = runs.filter(({ metadata }) => !ended.has(metadata.name))
      for (const { metadata } of fresh) ended.add(metadata.name)
      await Promise.all(fresh.map((run) => ends(run)))
    }
    await saying
    const byChat = Map.groupBy(await runsOf(), ({ spec }) => spec.sessionKey)
    expect(byChat.size).toBe(chats.length)
    for (const runs of byChat.values()) {
      expect(runs.flatMap(({ spec }) => spec.task.split('\n\n'))).toEqual(said)
    }
  }, 120_000)
})
