import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { stringify } from 'yaml'
import type { AgentRun } from '#core/kinds'
import { allowAll, demoScript, instance, tellingAgent } from './support/objects.ts'
import { execute, k8sclawBinary, startTestPlatform, type TestPlatform } from './support/platform.ts'

const talks = stringify({
  steps: [
    {
      when: { turns: 0, user: '*wait*' },
      reply: { text: 'I wait.', toolCalls: [{ name: 'exec', arguments: { script: 'sleep 60' } }] },
    },
    { reply: { text: 'You wrote: {{user}}' } },
  ],
})

let platform: TestPlatform
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
  const remembers = async () => expect((await platform.fetch('/api/v1/namespaces/default/sessions')).status).toBe(200)
  await vi.waitFor(remembers, { timeout: 60_000 })
})
afterAll(async () => platform?.close())

const chat = (args: string[], ...lines: string[]) =>
  execute(k8sclawBinary, ['chat', ...args], { env: platform.env, input: lines.map((line) => `${line}\n`).join('') })
const runsOf = async (name: string) => {
  const { items } = await platform.getJson<{ items: AgentRun[] }>('get', 'agentruns')
  return items.filter(({ spec }) => spec.instanceRef.name === name)
}

describe('k8sclaw chat with lines from a pipe', () => {
  test('has a run for each line, told what was said before', async () => {
    const { code, stdout, stderr } = await chat(
      ['--instance', 'tells', '--session', 'ada'],
      'I am Ada.',
      '',
      'Who am I?',
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const [head, ...told] = stdout.trim().split('\n')
    expect(head).toBe('session ada of tells')
    const [first, second] = told.map((line) => JSON.parse(line) as object)
    expect(told).toHaveLength(2)
    expect(first).toMatchObject({ task: 'I am Ada.', history: [] })
    expect(second).toMatchObject({
      task: 'Who am I?',
      history: [{ role: 'user', content: 'I am Ada.' }, { role: 'assistant' }],
    })
  })

  test('begins another conversation when asked to, and leaves when told to', async () => {
    const { code, stdout } = await chat(['--instance', 'tells'], 'one', '/new', 'two', '/what', '/quit', 'three')
    expect(code).toBe(0)
    const [first, one, second, two, help, ...rest] = stdout.trim().split('\n')
    const session = /^session chat-[0-9a-f]{8} of tells$/
    expect([first, second]).toEqual([expect.stringMatching(session), expect.stringMatching(session)])
    expect(first).not.toBe(second)
    expect(JSON.parse(one ?? '')).toMatchObject({ task: 'one', history: [] })
    expect(JSON.parse(two ?? '')).toMatchObject({ task: 'two', history: [] })
    expect([help, rest]).toEqual(['there are /new, which begins another conversation, and /quit', []])
  })

  test('goes on after a run that failed, and says so by its exit code', async () => {
    const { code, stdout } = await chat(['--instance', 'fails'], 'one', 'two')
    expect(code).toBe(1)
    expect(stdout.match(/^Failed \(/gm)).toHaveLength(2)
  })

  test('shows the control characters of an agent and obeys none', async () => {
    const { stdout } = await chat(['--instance', 'talks'], 'clear \x1b[2J the screen')
    expect(stdout).toContain('You wrote: clear \\x1b[2J the screen\n')
    expect(stdout).not.toContain('\x1b')
  })
})

/** The command on a terminal of its own; `see` waits for what it shows. */
function onTerminal() {
  const command = `${k8sclawBinary} chat --instance talks`
  const terminal = spawn('script', ['-qec', command, '/dev/null'], { env: { ...platform.env, TERM: 'xterm' } })
  const ended = once(terminal, 'exit')
  let shown = ''
  terminal.stdout.on('data', (chunk: Buffer) => {
    shown += chunk.toString()
  })
  return {
    type: (text: string) => {
      shown = ''
      terminal.stdin.write(text)
    },
    see: (text: RegExp) => expect.poll(() => shown, { timeout: 60_000 }).toMatch(text),
    code: async () => (await ended)[0] as number,
    close: () => terminal.kill('SIGKILL'),
  }
}
const phaseOf = async (task: string) => (await runsOf('talks')).find(({ spec }) => spec.task === task)?.status?.phase

describe('k8sclaw chat on a terminal', () => {
  test('streams the answer, cancels a run by Ctrl-C, and leaves by another at its prompt', async () => {
    const { type, see, code, close } = onTerminal()
    try {
      await see(/> /)
      type('Hello\r')
      await see(/You wrote: Hello\r\n[^\n]*> /)
      type('please wait\r')
      await see(/-> exec/)
      type('\x03')
      await see(/cancelling; again leaves[\s\S]*Cancelled \(Cancelled\)[\s\S]*> /)
      expect(await phaseOf('please wait')).toBe('Cancelled')
      type('\x03')
      expect(await code()).toBe(0)
    } finally {
      close()
    }
  })

  test('leaves at once by Ctrl-C twice, and the run is cancelled all the same', async () => {
    const { type, see, code, close } = onTerminal()
    try {
      await see(/> /)
      type('wait for nothing\r')
      await see(/-> exec/)
      type('\x03\x03')
      expect(await code()).toBe(0)
      await expect.poll(() => phaseOf('wait for nothing'), { timeout: 60_000 }).toBe('Cancelled')
    } finally {
      close()
    }
  })
})
