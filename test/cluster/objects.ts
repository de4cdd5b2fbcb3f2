/** Objects that the tests of a cluster apply, and what they wait for. */
import { expect } from 'vitest'
import type { AgentRun } from '#core/kinds'
import type { TestCluster } from './cluster.ts'

const { IMAGE_PREFIX: prefix = 'k8sclaw', TAG: tag = 'dev' } = process.env
export const agentImage = `${prefix}/agent:${tag}`

/** A pod beside the runs of its namespace, which is none of them, that runs a text with Node. */
export function bystander(name: string, text: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', labels: { test: 'bystander' } },
    spec: {
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 0,
      securityContext: { runAsNonRoot: true, runAsUser: 10001, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'main',
          image: agentImage,
          imagePullPolicy: 'IfNotPresent',
          command: ['/usr/local/bin/node', '-e', text],
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        },
      ],
    },
  }
}

/** An agent that runs a text with Node, as the container of an instance says it. */
export const nodeAgent = (text: string) => ({ command: ['/usr/local/bin/node'], args: ['-e', text] })

/** Writes a result some seconds after it has its task. */
export const answersAfter = (seconds: number) => `
const fs = require('node:fs')
const { setTimeout: sleep } = require('node:timers/promises')
async function main() {
  while (!fs.existsSync('/ipc/input/task.json')) await sleep(50)
  await sleep(${seconds * 1000})
  fs.writeFileSync('/ipc/output/result.tmp', JSON.stringify({ status: 'success', response: 'done' }))
  fs.renameSync('/ipc/output/result.tmp', '/ipc/output/result.json')
}
main()
`

export type Status = NonNullable<AgentRun['status']>

export async function statusOf(cluster: TestCluster, name: string): Promise<Partial<Status>> {
  return (await cluster.getJson<AgentRun>('get', 'agentrun', name)).status ?? {}
}

/** The status of a run once `isSo` holds; it fails with the last one. */
export async function until(
  cluster: TestCluster,
  name: string,
  isSo: (status: Partial<Status>) => boolean,
  timeout = 120_000,
): Promise<Partial<Status>> {
  let status: Partial<Status> = {}
  await expect
    .poll(
      async () => {
        status = await statusOf(cluster, name)
        return isSo(status) || status
      },
      { timeout, interval: 500 },
    )
    .toBe(true)
  return status
}

export const isOver = ({ phase }: Partial<Status>) => !['Pending', 'Running', undefined].includes(phase)
