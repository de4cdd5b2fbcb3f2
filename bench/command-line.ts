import { kubectl } from '../build/kubectl.ts'
import { execute, k8sclawBinary, startTestPlatform } from '../test/support/platform.ts'
import { type Bench, figure, median, timed } from './figures.ts'

const times = 15

/** cliHelp beside an empty Node process, alternating: the whole of each, as one waits for it at a prompt. */
export const cliHelp: Bench = {
  figures: ['cliHelp'],
  async take() {
    const empty: number[] = []
    const help: number[] = []
    for (let i = 0; i < times; i++) {
      empty.push(await timed(() => must(process.execPath, ['-e', '0'])))
      help.push(await timed(() => must(k8sclawBinary, ['--help'])))
    }
    return { cliHelp: figure('ms', help, median(empty)) }
  },
}

/** cliRunsList beside `kubectl get agentruns`, in the same way. */
export const cliRunsList: Bench = {
  figures: ['cliRunsList'],
  async take() {
    const platform = await startTestPlatform()
    try {
      await platform.kubectl(['apply', '-f', 'config/samples/'])
      const get: number[] = []
      const list: number[] = []
      for (let i = 0; i < times; i++) {
        get.push(await timed(() => must(kubectl(), ['get', 'agentruns'], platform.env)))
        list.push(await timed(() => must(k8sclawBinary, ['runs', 'list'], platform.env)))
      }
      return { cliRunsList: figure('ms', list, median(get)) }
    } finally {
      await platform.close()
    }
  },
}

async function must(file: string, args: string[], env: NodeJS.ProcessEnv = process.env): Promise<void> {
  const { code, stderr } = await execute(file, args, { env })
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}: ${stderr.trim().split('\n')[0]}`)
}
