import { type ClawPolicy, clawPolicies } from '#core/kinds'
import { type Figure, figure, type Skip } from './figures.ts'
import type { Subject } from './subject.ts'

const times = 15
/** Goal: p99 50 ms. */
const goalMs = 50

/** An agent that answers with the time at which it answers. */
const agent = `
until [ -e "$K8SCLAW_IPC_DIR/input/task.json" ]; do sleep 0.05; done
mkdir -p "$K8SCLAW_IPC_DIR/output"
cd "$K8SCLAW_IPC_DIR/output"
printf '{"status":"success","response":"%s"}' "$(date +%s%3N)" >.result.tmp
mv .result.tmp result.json
`

/** resultToStatus: the agent writes its result to a watcher seeing status Succeeded; held against the goal. */
export async function resultToStatus(subject: Subject): Promise<Figure | Skip> {
  // The sample's policy allows the images of the platform alone.
  await subject.kube.create<ClawPolicy>(clawPolicies, {
    apiVersion: 'k8sclaw.io/v1alpha1',
    kind: 'ClawPolicy',
    metadata: { name: 'bench-clock', namespace: 'default' },
    spec: {},
  } as ClawPolicy)
  await subject.instance('bench-clock', { image: 'k8sclaw.io/host', command: ['/bin/sh', '-c', agent] }, undefined, {
    policyRef: { name: 'bench-clock' },
  })
  const samples: number[] = []
  for (let i = 0; i < times; i++) {
    const { run, seenAt } = await subject.perform(`bench-result-${i}`, { instanceRef: { name: 'bench-clock' } })
    samples.push(seenAt - Number(run.status?.result))
  }
  return figure('ms', samples, goalMs)
}
