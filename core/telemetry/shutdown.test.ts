import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { afterEach, expect, test } from 'vitest'

const program = `
import { createServer } from 'node:http'
import { createLogger, onShutdown } from ${JSON.stringify(new URL('index.ts', import.meta.url).href)}
const server = createServer((_, response) => response.end('served'))
onShutdown(createLogger('test'), async () => void server.close())
server.listen(0, '127.0.0.1', () => console.error(JSON.stringify({ msg: 'serving', port: server.address().port })))
`

let child: ChildProcess | undefined
afterEach(() => child?.kill('SIGKILL'))

/** Starts it, and gives the lines it says as they come. */
function start(env: NodeJS.ProcessEnv) {
  const started = spawn(process.execPath, ['--input-type=module', '-e', program], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  child = started
  const exited = new Promise<number | null>((resolve) => started.once('exit', resolve))
  const lines = createInterface({ input: started.stderr })[Symbol.asyncIterator]()
  const said = async (message: string): Promise<Record<string, unknown>> => {
    for (;;) {
      const { value, done } = await lines.next()
      if (done) throw new Error(`it ended without saying ${message}`)
      const line = value.startsWith('{') ? (JSON.parse(value) as Record<string, unknown>) : {}
      if (line.msg === message) return line
    }
  }
  return { started, exited, said }
}

test('a program that drains serves on after it was told to stop, and then ends as it should', async () => {
  const { started, exited, said } = start({ K8SCLAW_DRAIN_SECONDS: '3' })
  const { port } = await said('serving')
  started.kill('SIGTERM')
  await said('stopping')
  expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('served')
  expect(await exited).toBe(0)
})

test('a program that does not drain, or that a person interrupts, stops at once', async () => {
  for (const [signal, env] of [
    ['SIGTERM', {}],
    ['SIGINT', { K8SCLAW_DRAIN_SECONDS: '3600' }],
  ] as const) {
    const { started, exited, said } = start(env)
    await said('serving')
    started.kill(signal)
    expect(await exited).toBe(0)
  }
})
