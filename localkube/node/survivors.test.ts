import { spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { detectIsolation } from './isolation.ts'
import { readRecord } from './record.ts'
import { endSurvivors, processStart } from './survivors.ts'

const isolation = await detectIsolation()
let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'localkube-survivors-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** A process of its own that starts a container, says which process it is, and waits. */
function startNodeProcess(kind: 'bubblewrap' | 'none', confined: boolean, mark: string) {
  const script = `
    import { mkdir } from 'node:fs/promises'
    import { writeEtc } from '${import.meta.dirname}/etc.ts'
    import { launch } from '${import.meta.dirname}/process.ts'
    import { writeRecord } from '${import.meta.dirname}/record.ts'
    import { processStart } from '${import.meta.dirname}/survivors.ts'
    const isolation = ${JSON.stringify(kind === 'none' ? { kind, reason: '', root: isolation.root } : isolation)}
    await writeEtc('${folder}/etc', { metadata: { name: 'p' }, spec: {} }, [])
    const container = await launch({
      isolation, dataDir: '${folder}', root: isolation.root, image: { argv: [], confined: ${confined} }, identity: undefined, hostname: 'p',
      etc: '${folder}/etc', mounts: [], workingDir: '/', env: { PATH: '/usr/bin:/bin' }, forwardPorts: [],
      command: ['sh', '-c', 'sleep ${mark} & echo started; sleep ${mark}'],
      rewriting: { podIP: '127.0.0.1', ports: new Set(), clusterIP: () => undefined },
    })
    container.stderr.pipe(process.stderr)
    container.stdout.once('data', () => {
      writeRecord('${folder}/record.json', {
        pid: container.pid, processStart: processStart(container.pid), restartCount: 0, startedAt: '',
      })
      console.log('ready')
    })`
  return spawn(process.execPath, ['--no-warnings', '--input-type=module-typescript', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

/** The processes of this machine whose command line is `sleep <mark>`. */
async function sleepers(mark: string): Promise<number[]> {
  const pids = (await readdir('/proc')).map(Number).filter(Number.isInteger)
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return pids.filter((_, i) => lines[i] === `sleep\0${mark}\0`)
}

describe('when the node is killed', () => {
  const kinds = [
    ['a confined container', 'bubblewrap', true, '98701', 'nothing'],
    ['a container that is not confined', 'bubblewrap', false, '98702', 'nothing'],
    ['a plain process, which is known by its mark', 'none', false, '98703', 'mark'],
    ['a plain process, which is known by its record', 'none', false, '98704', 'record'],
  ] as const
  for (const [what, kind, confined, mark, by] of kinds) {
    it.skipIf(kind === 'bubblewrap' && isolation.kind === 'none')(`nothing is left of ${what}`, async () => {
      const node = startNodeProcess(kind, confined, mark)
      onTestFinished(async () => {
        node.kill('SIGKILL')
        for (const pid of await sleepers(mark)) process.kill(pid, 'SIGKILL')
      })
      await new Promise((resolve) => node.stdout.once('data', resolve))
      await vi.waitFor(async () => expect(await sleepers(mark)).toHaveLength(2))
      node.kill('SIGKILL')
      if (by === 'nothing') await vi.waitFor(async () => expect(await sleepers(mark)).toEqual([]))
      // Without namespaces the children of the container's own program live until the next node ends them.
      if (by !== 'nothing')
        endSurvivors(
          by === 'mark' ? folder : '/other',
          by === 'mark' ? [] : [readRecord(join(folder, 'record.json'))].filter((r) => r !== undefined),
        )
      await vi.waitFor(async () => expect(await sleepers(mark)).toEqual([]))
    })
  }

  it('a process that only has the number of a dead one is left alone', async () => {
    const other = spawn('/bin/sleep', ['60'], { detached: true })
    await new Promise((resolve) => other.once('spawn', resolve))
    const pid = other.pid ?? 0
    const record = { pid, processStart: '1', restartCount: 0, startedAt: '' }
    expect(endSurvivors(folder, [record])).toBe(0)
    expect(processStart(pid)).not.toBe('')
    expect(endSurvivors(folder, [{ ...record, processStart: processStart(pid) }])).toBe(1)
    await new Promise((resolve) => other.once('exit', resolve))
  })
})
