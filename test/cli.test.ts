import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import type { AgentRun } from '#core/kinds'
import { execute, k8sclawBinary, startTestPlatform, type TestPlatform } from './support/platform.ts'

let platform: TestPlatform
beforeAll(async () => {
  platform = await startTestPlatform()
  await platform.kubectl(['apply', '-f', 'config/samples/'])
  await platform.k8sclaw('runs', 'watch', 'sample')
})
afterAll(async () => platform?.close())

const run = async (...args: string[]) => {
  const { code, stdout, stderr } = await platform.k8sclaw(...args)
  expect(stderr).toBe('')
  expect(code).toBe(0)
  return stdout
}

describe('the command line against a platform', () => {
  test('lists and shows runs and instances in every format, as kubectl does', async () => {
    expect(await run('runs', 'list')).toMatch(
      /^NAME +INSTANCE +PHASE +REASON +AGE\nsample +sample +Succeeded +Completed +\d+s\n$/,
    )
    expect(await run('runs', 'list', '-A', '-o', 'wide')).toMatch(/^NAMESPACE +NAME .* POD +RESULT\ndefault +sample/)
    expect(await run('runs', 'list', '-o', 'name')).toBe('agentrun.k8sclaw.io/sample\n')
    const byKubectl = await platform.getJson<AgentRun>('get', 'agentrun', 'sample')
    expect(JSON.parse(await run('runs', 'get', 'sample', '-o', 'json'))).toEqual(byKubectl)
    expect(parse(await run('runs', 'get', 'sample', '-o', 'yaml'))).toEqual(byKubectl)
    expect(parse(await run('runs', 'list', '-o', 'yaml'))).toMatchObject({
      kind: 'List',
      items: [{ kind: 'AgentRun' }],
    })
    expect(await run('instances', 'list')).toMatch(
      /^NAME +PHASE +ACTIVE +MODEL +AGE\nsample +Ready +\d+ +demo +\d+s\n$/,
    )
    expect(await run('runs', 'list', '-n', 'kube-system')).toBe('No resources found in kube-system namespace.\n')
  })

  test('lists and shows policies and skills, as kubectl does', async () => {
    expect(await run('policies', 'list', '-o', 'wide')).toMatch(
      /^NAME +DEFAULT +BOUND +AGE +RULES +GATES\ndefault-policy +deny +\d+ +\d+s +\d+ +code-execution/,
    )
    expect(JSON.parse(await run('policies', 'get', 'default-policy', '-o', 'json'))).toMatchObject({
      kind: 'ClawPolicy',
    })
    expect(await run('skills', 'list')).toMatch(/^NAME +PHASE +SKILLS +AGE\nreporting +Ready +1 +\d+s\n$/)
    expect(await run('skills', 'get', 'reporting', '-o', 'name')).toBe('skillpack.k8sclaw.io/reporting\n')
  })

  test('turns a feature gate of a policy off and on, and knows no other gates', async () => {
    const features = ['--policy', 'default-policy']
    const before = await run('features', 'list', ...features)
    expect(before).toMatch(/^GATE +ENABLED\ncode-execution +true\n/)
    expect(await run('features', 'disable', 'code-execution', ...features)).toBe(
      'clawpolicy.k8sclaw.io/default-policy: code-execution disabled\n',
    )
    expect(await run('features', 'list', ...features)).toMatch(/\ncode-execution +false\n/)
    await run('features', 'enable', 'code-execution', ...features)
    expect(await run('features', 'list', ...features)).toBe(before)
    const { code, stderr } = await platform.k8sclaw('features', 'enable', 'teleport', ...features)
    expect(code).toBe(1)
    expect(stderr).toBe('error: there is no feature gate teleport; there are code-execution, file-access, memory\n')
  })

  test("prints the log of a container of a run's pod", async () => {
    expect(await run('runs', 'logs', 'sample', '-c', 'bridge')).toContain('outcome recorded')
  })

  test('finds nothing wrong with it', async () => {
    const said = await run('doctor')
    expect(said).not.toContain('FAIL')
    expect(said).toMatch(/^(ok {4}|WARN {2})k8sclaw-database: [01] of 1 available$/m)
  })

  test('cancels a run, whose watcher then ends with exit code 1', async () => {
    await platform.apply(
      {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'slow', namespace: 'default' },
        stringData: { script: 'steps: [{ reply: { text: late, delayMs: 60000 } }]' },
      },
      {
        apiVersion: 'k8sclaw.io/v1alpha1',
        kind: 'ClawInstance',
        metadata: { name: 'slow', namespace: 'default' },
        spec: {
          agents: { default: { model: { provider: 'demo', name: 'demo' }, sandbox: { enabled: true } } },
          authRefs: [{ provider: 'demo', secretRef: { name: 'slow' } }],
        },
      },
    )
    const name = (await run('run', 'wait', '--instance', 'slow')).match(/agentrun.k8sclaw.io\/(\S+) created/)?.[1] ?? ''
    const watching = platform.k8sclaw('runs', 'watch', name)
    await platform.kubectl(['wait', `agentrun/${name}`, '--for=condition=Started', '--timeout=60s'])
    expect(await run('runs', 'cancel', name)).toBe(`agentrun.k8sclaw.io/${name} cancelled\n`)
    const watched = await watching
    expect(watched.code).toBe(1)
    expect(watched.stdout).toContain('Cancelled (Cancelled)')
  })

  test('tells whoever follows a run why it does not begin, and then what becomes of it', async () => {
    const following = spawn(k8sclawBinary, ['run', 'hello', '--instance', 'later', '--follow'], { env: platform.env })
    const ended = once(following, 'exit')
    let shown = ''
    following.stdout.setEncoding('utf8').on('data', (text: string) => (shown += text))
    await expect
      .poll(() => shown, { timeout: 60_000 })
      .toContain('   waits: there is no ClawInstance later yet (InstanceMissing)\n')
    const quick = 'steps: [{ reply: { text: There you are. } }]'
    await platform.apply(
      {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'quick', namespace: 'default' },
        stringData: { script: quick },
      },
      {
        apiVersion: 'k8sclaw.io/v1alpha1',
        kind: 'ClawInstance',
        metadata: { name: 'later', namespace: 'default' },
        spec: {
          agents: { default: { model: { provider: 'demo', name: 'demo' }, sandbox: { enabled: true } } },
          authRefs: [{ provider: 'demo', secretRef: { name: 'quick' } }],
        },
      },
    )
    expect(await ended).toEqual([0, null])
    expect(shown).toMatch(/There you are\.\nSucceeded/)
  })

  test('says what is not there with exit code 1', async () => {
    const { code, stderr } = await platform.k8sclaw('runs', 'get', 'nope')
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'error: agentruns.k8sclaw.io "nope" not found\n' })
  })
})

describe('the command line by itself', () => {
  test('says in one sentence that the kubeconfig names a server that does not answer', async () => {
    const env = { ...process.env, KUBECONFIG: '/nonexistent/kubeconfig' }
    const { code, stderr } = await execute(k8sclawBinary, ['runs', 'list'], { env })
    expect(code).toBe(1)
    expect(stderr).toMatch(/^error: .*\n$/)
  })

  test('completes the commands there are', async () => {
    const { stdout } = await execute(k8sclawBinary, ['completion', 'bash'])
    const asked = await execute('bash', [
      '-c',
      `${stdout}\nCOMP_WORDS=(k8sclaw runs '')\nCOMP_CWORD=2\n_k8sclaw\necho "\${COMPREPLY[@]}"`,
    ])
    expect(asked.stdout.split(/\s+/)).toEqual(expect.arrayContaining(['list', 'get', 'watch', 'logs', 'cancel']))
  })
})
