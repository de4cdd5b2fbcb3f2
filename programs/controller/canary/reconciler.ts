import { isClawError } from '#core/errors'
import type { ClawInstance, KubeObject } from '#core/kinds'
import {
  type Informer,
  type Job,
  jobs,
  type Kube,
  type Pod,
  type ReconcileResult,
  type Service,
  services,
} from '#core/kube'
import type { Platform } from '#core/policy'
import type { Logger } from '#core/telemetry'
import { runNetworkPolicy } from '../resources/tenant.ts'
import { canaryOf, decideCanary, fingerprint } from './decide.ts'
import { type CanarySettings, type CanaryTargets, canaryJob } from './job.ts'

export interface CanaryReconcilerOptions {
  kube: Kube
  caches: {
    /** With the index `namespace`, as the next. */
    instances: Informer<ClawInstance>
    /** Everybody's. */
    networkPolicies: Informer<KubeObject>
    jobs: Informer<Job>
    /** With the index `run`. */
    pods: Informer<Pod>
  }
  platform: Pick<Platform, 'isolation'>
  systemNamespace: string
  settings: CanarySettings
  log: Logger
}

const defaultBusPort = 4222
/** Where a cloud tells a pod that asks whose machine this is, and hands it the machine's credentials. */
const metadataService = '169.254.169.254:80'

/**
 * Keeps one canary in each namespace with an instance, where Kubernetes is what isolates. The key is the name of the
 * namespace.
 */
export class CanaryReconciler {
  readonly #options: CanaryReconcilerOptions

  constructor(options: CanaryReconcilerOptions) {
    this.#options = options
  }

  async reconcile(namespace: string): Promise<ReconcileResult> {
    const { kube, caches, platform, settings, log } = this.#options
    if (platform.isolation !== 'kubernetes') return
    const policies = caches.networkPolicies.byIndex('namespace', namespace)
    const closedIn = policies.some(({ metadata }) => metadata.name === runNetworkPolicy)
    const canary = canaryOf(caches, namespace)
    const step = decideCanary({
      ...canary,
      now: new Date(),
      instances: caches.instances.byIndex('namespace', namespace),
      policies: closedIn ? fingerprint(policies) : undefined,
    })
    switch (step.do) {
      case 'create': {
        const job = canaryJob(step.owner, settings, await this.#targets(), step.checks)
        await kube.create<Job>(jobs, job).catch((error: unknown) => {
          // The cache lags behind ourselves, or somebody else's Job bears the name; either way it is not made again.
          if (!isClawError(error, 'already_exists')) throw error
        })
        return
      }
      case 'delete':
        if (canary.job) await kube.delete(jobs, canary.job.metadata, { uid: step.uid })
        return
      case 'leave':
        log.warn({ namespace, why: step.message }, 'no canary')
        return
      case 'wait':
        return { requeueAfterMs: step.forMs }
      case 'nothing':
        return
    }
  }

  /**
   * The bus, which runs need, against what they must not reach: the API server of Kubernetes, ours, whose own policy
   * lets everybody in, and the metadata service. By address, because runs have no DNS.
   */
  async #targets(): Promise<CanaryTargets> {
    const { kube, systemNamespace, settings } = this.#options
    const kubernetes = new URL(kube.server)
    const bus = new URL(settings.busUrl)
    return {
      open: [await this.#resolve(`${bus.hostname}:${bus.port || defaultBusPort}`)],
      closed: [
        `${kubernetes.hostname}:${kubernetes.port || '443'}`,
        await this.#resolve(`k8sclaw-apiserver.${systemNamespace}.svc:8080`),
        metadataService,
      ],
    }
  }

  /** With the address of a Service of ours in the place of its name. */
  async #resolve(address: string): Promise<string> {
    const [, name, namespace, port] = /^([^.:]+)\.([^.:]+)\.svc(?:\.[^:]*)?:(\d+)$/.exec(address) ?? []
    if (!name || namespace !== this.#options.systemNamespace) return address
    const service = await this.#options.kube.get<Service>(services, { name, namespace })
    return service.spec?.clusterIP ? `${service.spec.clusterIP}:${port}` : address
  }
}
