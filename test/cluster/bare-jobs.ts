/** Jobs that are nothing of ours, and how long a node takes to have them run: what a run's own time is held against. */
import { Informer, type Job, jobs, type Kube, type Pod, pods } from '#core/kube'
import { pauseImage } from './images.ts'
import { agentImage } from './objects.ts'

const settings = {
  imagePullPolicy: 'IfNotPresent',
  securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
}
/** A static program that only waits. */
const waits = { image: pauseImage, ...settings }
const node = (text: string) => ({ image: agentImage, command: ['/usr/local/bin/node', '-e', text], ...settings })
const nodeWaits = node("process.on('SIGTERM', () => process.exit()); setInterval(() => {}, 60_000)")
const nodeSaysWhen = node('console.log(Date.now())')

/** As a run's pod has them: shared folders, one of them in memory, and a token. */
const volumes = [
  { name: 'ipc', emptyDir: { medium: 'Memory' } },
  ...['input', 'socket', 'workspace', 'sandbox-tmp', 'tmp'].map((name) => ({ name, emptyDir: {} })),
  {
    name: 'token',
    projected: { sources: [{ serviceAccountToken: { audience: 'k8sclaw', expirationSeconds: 600, path: 'token' } }] },
  },
]
const volumeMounts = volumes.map(({ name }) => ({ name, mountPath: `/volumes/${name}` }))

interface Shape {
  sidecars: object[]
  main: object
  volumes?: object[]
  /** Timed to its first line, and not to being seen running. */
  saysWhen?: true
}

export const shapes = {
  /** The floor of coldRun. */
  bareJob: { sidecars: [waits], main: waits },
  /** The kubelet looks every 300 ms whether the volumes of a pod are there, and not at all where a pod has none. */
  withVolumes: { sidecars: [{ ...waits, volumeMounts }], main: { ...waits, volumeMounts }, volumes },
  /** The pod of a run with a sandbox, of programs that cost nothing to start. */
  threeContainers: {
    sidecars: [waits, waits].map((one) => ({ ...one, volumeMounts })),
    main: { ...waits, volumeMounts },
    volumes,
  },
  /** The same, of Nodes that have nothing to do. */
  threeOfNode: {
    sidecars: [nodeWaits, nodeWaits].map((one) => ({ ...one, volumeMounts })),
    main: { ...nodeSaysWhen, volumeMounts },
    volumes,
    saysWhen: true,
  },
} satisfies Record<string, Shape>

/** Milliseconds from the Job's creation until its main container is there. `logs` gives what a pod's main container said. */
export async function timeOf(
  kube: Kube,
  name: string,
  shape: Shape,
  logs: (pod: string) => Promise<string>,
): Promise<number> {
  const done = new AbortController()
  const informer = new Informer<Pod>(kube, pods, { namespace: 'default' })
  const seen = Promise.withResolvers<{ at: number; pod: string }>()
  const look = ({ metadata, status }: Pod) => {
    const state = status?.containerStatuses?.find((container) => container.name === 'main')?.state
    const isThere = shape.saysWhen ? state?.terminated : state?.running
    if (metadata.labels?.['job-name'] === name && isThere) seen.resolve({ at: Date.now(), pod: metadata.name })
  }
  informer.on({ add: look, update: look })
  const running = informer.run(done.signal)
  await informer.synced()
  const createdAt = Date.now()
  await kube.create<Job>(jobs, jobOf(name, shape))
  const { at, pod } = await seen.promise
  const until = shape.saysWhen ? Number(await logs(pod)) : at
  await kube.delete(jobs, { name, namespace: 'default' })
  done.abort()
  await running
  return until - createdAt
}

function jobOf(name: string, { sidecars, main, volumes = [] }: Shape) {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, namespace: 'default' },
    spec: {
      template: {
        spec: {
          restartPolicy: 'Never',
          automountServiceAccountToken: false,
          terminationGracePeriodSeconds: 1,
          securityContext: { runAsNonRoot: true, runAsUser: 10001, seccompProfile: { type: 'RuntimeDefault' } },
          initContainers: sidecars.map((one, i) => ({ name: `sidecar-${i}`, restartPolicy: 'Always', ...one })),
          containers: [{ name: 'main', ...main }],
          volumes,
        },
      },
    },
  }
}
