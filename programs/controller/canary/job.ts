import type { ClawInstance, Unborn } from '#core/kinds'
import { type Job, ownerReference } from '#core/kube'
import { runServiceAccount, runUidLabel } from '../resources/job.ts'
import { managedLabel } from '../resources/tenant.ts'

export const canaryJobName = 'k8sclaw-canary'
/** In the place of a run's uid: the label by which NetworkPolicies know the pods of runs. */
export const canaryRun = 'canary'
/** Annotation with the NetworkPolicies that the canary was made to look at. */
export const checkedAnnotation = 'k8sclaw.io/network-policies'

export interface CanarySettings {
  /** The controller's own image, whose command `canary` it runs. */
  image: string
  /** Where the bridges of runs find the bus. */
  busUrl: string
}

/** `host:port` each. */
export interface CanaryTargets {
  open: readonly string[]
  closed: readonly string[]
}

const uid = 10001
const group = 10000
const deadlineSeconds = 120

/**
 * A Job that is to the network what a run is: same namespace, same account, same label. It is not a run and has no
 * token, no identity and no volume; what it finds is its exit code and its last words.
 */
export function canaryJob(
  owner: ClawInstance,
  { image }: Pick<CanarySettings, 'image'>,
  { open, closed }: CanaryTargets,
  checks: string,
): Unborn<Job> {
  const { controller: _, ...reference } = ownerReference(owner)
  const labels = { ...managedLabel, [runUidLabel]: canaryRun }
  const flags = (name: string, targets: readonly string[]) => targets.flatMap((target) => [`--${name}`, target])
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: canaryJobName,
      ...(owner.metadata.namespace === undefined ? {} : { namespace: owner.metadata.namespace }),
      labels,
      annotations: { [checkedAnnotation]: checks },
      // No controller: it goes with any instance that it was made for, and the next makes its own.
      ownerReferences: [reference],
    },
    spec: {
      backoffLimit: 0,
      activeDeadlineSeconds: deadlineSeconds,
      template: {
        metadata: { labels },
        spec: {
          restartPolicy: 'Never',
          serviceAccountName: runServiceAccount,
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          terminationGracePeriodSeconds: 0,
          securityContext: {
            runAsNonRoot: true,
            runAsUser: uid,
            runAsGroup: group,
            seccompProfile: { type: 'RuntimeDefault' },
          },
          containers: [
            {
              name: 'canary',
              image,
              imagePullPolicy: 'IfNotPresent',
              args: ['canary', ...flags('open', open), ...flags('closed', closed)],
              resources: { requests: { cpu: '10m', memory: '64Mi' }, limits: { memory: '128Mi' } },
              securityContext: {
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: { drop: ['ALL'] },
              },
            },
          ],
        },
      },
    },
  }
}
