import { describe, expect, it } from 'vitest'
import { instance, run } from '../support/objects.ts'
import type { TestCluster } from './cluster.ts'
import { isOver, nodeAgent, until } from './objects.ts'

const inSystem = ['-n', 'k8sclaw-system']

/** An agent that answers with the tasks of the conversation before. */
const remembers = `
const fs = require('node:fs')
const { setTimeout: sleep } = require('node:timers/promises')
async function main() {
  while (!fs.existsSync('/ipc/input/task.json')) await sleep(50)
  const { history = [] } = JSON.parse(fs.readFileSync('/ipc/input/task.json', 'utf8'))
  const response = history.filter(({ role }) => role === 'user').map(({ content }) => content).join(' ')
  fs.writeFileSync('/ipc/output/result.tmp', JSON.stringify({ status: 'success', response }))
  fs.renameSync('/ipc/output/result.tmp', '/ipc/output/result.json')
}
main()
`

/** What config/postgres keeps: one server on a volume, which the API server alone reaches. */
export function conversations(current: () => TestCluster): void {
  describe('a conversation', () => {
    const say = async (task: string): Promise<string | undefined> => {
      const cluster = current()
      await cluster.apply(run(`says-${task}`, 'remembers', { task, sessionKey: 'words' }))
      const { phase, reason, result } = await until(cluster, `says-${task}`, isOver)
      expect([phase, reason]).toEqual(['Succeeded', 'Completed'])
      return result
    }

    it('is remembered by the database of the platform', async () => {
      const cluster = current()
      await cluster.kubectl(['rollout', 'status', 'statefulset/k8sclaw-database', ...inSystem, '--timeout=180s'])
      await cluster.apply(instance('remembers', nodeAgent(remembers)))
      expect(await say('heron')).toBe('')
      expect(await say('kestrel')).toBe('heron')
    })

    it('is still there when the database was killed, and when its pod is another', async () => {
      const cluster = current()
      const pod = async () => {
        const found = ['get', 'pod', 'k8sclaw-database-0', ...inSystem]
        return await cluster.getJson<{ metadata: { uid: string }; status: { containerStatuses?: Status[] } }>(...found)
      }
      const isBack = async () => (await pod()).status.containerStatuses?.map((s) => [s.ready, s.restartCount > 0])
      if (cluster.node) {
        cluster.node.killContainers((await pod()).metadata.uid)
        await expect.poll(isBack, { timeout: 120_000, interval: 500 }).toEqual([[true, true]])
        expect(await say('plover')).toBe('heron kestrel')
      }
      const { uid } = (await pod()).metadata
      await cluster.kubectl(['delete', 'pod', 'k8sclaw-database-0', ...inSystem])
      await cluster.kubectl(['rollout', 'status', 'statefulset/k8sclaw-database', ...inSystem, '--timeout=180s'])
      expect((await pod()).metadata.uid).not.toBe(uid)
      expect(await say('wren')).toBe(cluster.node ? 'heron kestrel plover' : 'heron kestrel')
    })
  })
}

interface Status {
  ready: boolean
  restartCount: number
}
