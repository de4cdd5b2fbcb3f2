import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AgentRun } from '#core/kinds'
import { demoScript, instance, run } from './support/objects.ts'
import { startTestPlatform, type TestPlatform } from './support/platform.ts'

let platform: TestPlatform
beforeAll(async () => {
  platform = await startTestPlatform()
})
afterAll(async () => platform?.close())

/** The agent stores what it is told, or looks for what it is asked, and says what came of it. */
const script = `
steps:
  - when: { turns: 0, user: 'remember *' }
    reply:
      toolCalls:
        - name: memory_store
          arguments: { content: '{{user}}' }
  - when: { turns: 0 }
    reply:
      toolCalls:
        - name: memory_search
          arguments: { query: '{{user}}' }
  - reply: { text: '{{result}}' }
`

describe('memory on a platform', () => {
  test('what a run stores the next of its session finds by its meaning, and one of another session does not', async () => {
    const { secret, authRefs } = demoScript('memory-script', script)
    const policy = {
      apiVersion: 'k8sclaw.io/v1alpha1',
      kind: 'ClawPolicy',
      metadata: { name: 'default-policy', namespace: 'default' },
      spec: { toolGating: { rules: [{ tool: 'memory_*', action: 'allow' }] }, featureGates: { memory: true } },
    }
    const claw = instance('keeper', { sandbox: { enabled: false } } as object, { authRefs })
    await platform.apply(policy, secret, claw)
    const said = async (name: string, sessionKey: string, task: string) => {
      await platform.apply(run(name, 'keeper', { sessionKey, task }))
      await platform.kubectl(['wait', `agentrun/${name}`, '--for=jsonpath={.status.completedAt}', '--timeout=90s'])
      const { status } = await platform.getJson<AgentRun>('get', 'agentrun', name)
      expect(status).toMatchObject({ phase: 'Succeeded', usage: { toolCalls: 1 } })
      return status?.result ?? ''
    }
    expect(await said('keep', 'chat', 'remember that the customer prefers tea over coffee')).toContain('"known":false')
    const found = await said('find', 'chat', 'What would the client like to drink?')
    expect(found).toContain('prefers tea')
    expect(found).toContain('"searchedBy":["meaning","words"]')
    expect(await said('stranger', 'other', 'What would the client like to drink?')).toContain('"memories":[]')
  })

  test('people list, search, show and delete what agents stored', async () => {
    const memories = (...args: string[]) => platform.k8sclaw('memories', ...args)
    const printed = async (...args: string[]) => (await memories(...args)).stdout.trim()
    const id = await printed('list', '-o', 'name')
    expect(id).toMatch(/^[0-9a-f]{32}$/)
    expect(await printed('list', '--scope', 'session')).toContain('remember that the customer prefers tea')
    expect(await printed('list', '--scope', 'user')).toContain('No memories found')
    expect(await printed('search', 'a hot drink', '-o', 'name')).toBe(id)
    expect(await printed('show', id)).toMatch(/^memory .* of keeper, session .*\nstored by run .*\n\nremember that/)
    expect(await printed('delete', id)).toBe(`memory ${id} deleted`)
    expect((await memories('show', id)).stderr).toContain('there is no such memory')
    expect(await printed('delete', '--instance', 'keeper', '--scope', 'session')).toBe('0 memories deleted')
    expect((await memories('delete')).stderr).toContain('by their ids, or all of a scope')
  })

  test('are compared by a model of the instance where it names one, and by words alone for people, who have no run', async () => {
    const { secret, authRefs } = demoScript('own-script', script)
    const embeddings = { provider: 'demo', name: 'demo', dimensions: 256 }
    const claw = (provider: string) => {
      const memory = { embeddings: { ...embeddings, provider } }
      return instance('own', { sandbox: { enabled: false } } as object, { authRefs, memory })
    }
    await expect(platform.apply(claw('anthropic'))).rejects.toThrow('the provider anthropic has no embeddings')
    await platform.apply(secret, claw('demo'))
    const said = async (name: string, task: string) => {
      await platform.apply(run(name, 'own', { sessionKey: 'own', task }))
      await platform.kubectl(['wait', `agentrun/${name}`, '--for=jsonpath={.status.completedAt}', '--timeout=120s'])
      const { status } = await platform.getJson<AgentRun>('get', 'agentrun', name)
      expect(status).toMatchObject({ phase: 'Succeeded', usage: { toolCalls: 1 } })
      return status?.result ?? ''
    }
    expect(await said('own-keep', 'remember the teapots')).toContain('"known":false')
    // No word of it is a word of what is kept: only a vector of that very model brings them together.
    const found = await said('own-find', 'teapotlike')
    expect(found).toContain('remember the teapots')
    expect(found).toContain('"searchedBy":["meaning","words"]')
    const body = JSON.stringify({ query: 'teapotlike', instance: 'own' })
    const headers = { 'content-type': 'application/json' }
    const path = '/api/v1/namespaces/default/memories/search'
    const answer = await platform.fetch(path, { method: 'POST', headers, body })
    expect(await answer.json()).toMatchObject({ items: [], searchedBy: ['words'] })
  })
})
