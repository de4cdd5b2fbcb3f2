import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AgentRun } from '#core/kinds'
import { startTestPlatform, type TestPlatform } from './support/platform.ts'

let platform: TestPlatform
beforeAll(async () => {
  platform = await startTestPlatform()
  await platform.kubectl(['apply', '-f', 'config/samples/'])
})
afterAll(async () => platform?.close())

describe('an AgentRun applied with kubectl', () => {
  test('succeeds, having thought, run a command, written and read a file', async () => {
    await platform.kubectl(['wait', 'agentrun/sample', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=60s'])
    const run = await platform.getJson<AgentRun>('get', 'agentrun', 'sample')
    expect(run.status).toMatchObject({ reason: 'Completed', attempt: 1, effective: { isolation: platform.isolation } })
    expect(run.status?.usage?.modelCalls).toBeGreaterThanOrEqual(4)
    expect(run.status?.usage?.toolCalls).toBe(3)
    expect(run.status?.usage?.inputTokens).toBeGreaterThan(0)
    expect(run.status?.result).toContain('Linux')
  })

  test('is immutable but for cancel', async () => {
    const changed = await platform.tryKubectl([
      'patch',
      'agentrun',
      'sample',
      '--type=merge',
      '-p',
      '{"spec":{"task":"another"}}',
    ])
    expect(changed.code).not.toBe(0)
    expect(changed.stderr).toContain('immutable')
  })
})

describe('the stream of a run', () => {
  test('shows text and calls as they happen and ends with the outcome, by SSE, from any cursor', async () => {
    const created = await platform.k8sclaw('run', 'Which system is this?', '--follow')
    expect(created.stderr).toBe('')
    expect(created.code).toBe(0)
    expect(created.stdout).toMatch(/-> exec/)
    expect(created.stdout).toMatch(/Succeeded \(Completed\)/)
    const name = created.stdout.match(/agentrun.k8sclaw.io\/(\S+) created/)?.[1]
    const response = await platform.fetch(`/api/v1/namespaces/default/runs/${name}/events`, {
      headers: { Accept: 'text/event-stream' },
    })
    expect(response.status).toBe(200)
    const text = await response.text()
    const ids = [...text.matchAll(/^id: (.*)$/gm)].map((m) => m[1])
    expect(new Set(ids).size).toBe(ids.length)
    expect(text.match(/^event: outcome$/gm)).toHaveLength(1)
    const again = await platform.fetch(`/api/v1/namespaces/default/runs/${name}/events`, {
      headers: { Accept: 'text/event-stream', 'Last-Event-ID': ids.at(-2) ?? '' },
    })
    expect((await again.text()).match(/^event: (\S+)$/gm)).toEqual(['event: outcome'])
  })

  test('is refused to somebody without a credential', async () => {
    const response = await fetch(`${platform.url}/api/v1/namespaces/default/runs/sample/events`)
    expect(response.status).toBe(401)
    expect(response.headers.get('content-type')).toContain('application/problem+json')
  })
})
