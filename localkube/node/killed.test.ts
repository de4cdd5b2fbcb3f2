import { spawn } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, expect, it, onTestFinished } from 'vitest'
import { type KubeObject, type ObjectInput, resources, startApi } from '#localkube/api'
import { namespace, sh, statusOf, TestNode, until } from './testing.ts'

/** The processes of this machine that run below a folder or for it, by command line. */
async function processesNaming(text: string): Promise<number[]> {
  const pids = (await readdir('/proc')).map(Number).filter(Number.isInteger)
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return pids.filter((_, i) => lines[i]?.includes(text))
}

/** How many pods have said that they run. */
async function startedIn(folder: string): Promise<number> {
  const pods = await readdir(folder).catch(() => [])
  const logs = pods.map((pod) => readFile(join(folder, pod, 'log/main/0.log'), 'utf8').catch(() => ''))
  return (await Promise.all(logs)).filter((log) => log.includes('start')).length
}

const mark = `killed-${process.pid}`
let test: TestNode | undefined
afterAll(() => test?.close())

/** API server and node in a process of their own, on `folder`; ready when it has said so. */
async function startElsewhere(folder: string) {
  const script = `
    import { TestNode } from '${import.meta.dirname}/testing.ts'
    await TestNode.open('${folder}', '127.95.', 'auto')
    console.log('ready')`
  const child = spawn(process.execPath, ['--no-warnings', '--input-type=module-typescript', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: process.cwd(),
  })
  await new Promise((resolve) => child.stdout.once('data', resolve))
  return child
}

it('kill -9 of node and API server leaves no process; the next start goes on where it may and says where it may not', async () => {
  const folder = await TestNode.makeFolder()
  const script = `: ${mark}; echo start; while :; do sleep 0.2; done`
  const template = {
    metadata: { labels: { app: 'kept' } },
    spec: { containers: [sh('main', script)], terminationGracePeriodSeconds: 1 },
  }
  const objects: [keyof typeof resources, ObjectInput][] = [
    [
      'deployments',
      {
        kind: 'Deployment',
        apiVersion: 'apps/v1',
        metadata: { name: 'kept', namespace },
        spec: { selector: { matchLabels: { app: 'kept' } }, template },
      },
    ],
    [
      'jobs',
      {
        kind: 'Job',
        apiVersion: 'batch/v1',
        metadata: { name: 'once', namespace },
        spec: { backoffLimit: 0, template: { spec: { restartPolicy: 'Never', containers: [sh('main', script)] } } },
      },
    ],
  ]
  const address = '127.0.0.1'
  const api = await startApi({ dataDir: join(folder, 'api'), port: 0, address, serviceAddress: address })
  for (const [kind, object] of objects) await api.client.create<KubeObject>(resources[kind], object)
  await api.close()

  const elsewhere = await startElsewhere(folder)
  const ended = new Promise((resolve) => elsewhere.once('exit', resolve))
  onTestFinished(() => void elsewhere.kill('SIGKILL'))
  await until(async () => (await startedIn(join(folder, 'node/pods'))) === 2)
  const before = await processesNaming(mark)
  elsewhere.kill('SIGKILL')
  await ended

  test = await TestNode.open(folder, '127.95.', 'auto')
  const node = test
  const job = await node.finished('once')
  expect(job.status).toMatchObject({ failed: 1 })
  const [once] = await node.podsWith('job-name=once')
  expect(once && statusOf(once, 'main')?.state.terminated).toMatchObject({
    exitCode: 137,
    reason: 'ContainerStatusUnknown',
  })
  const kept = await until(async () => {
    const [pod] = await node.podsWith('app=kept')
    return pod?.status?.phase === 'Running' && statusOf(pod, 'main')?.state.running && pod
  })
  expect(statusOf(kept, 'main')?.restartCount).toBe(1)
  const after = await processesNaming(mark)
  expect(after.filter((pid) => before.includes(pid))).toEqual([])
})
