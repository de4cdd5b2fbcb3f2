import {
  type AgentRun,
  agentRuns,
  type ClawInstance,
  type ClawPolicy,
  clawInstances,
  clawPolicies,
  type KubeObject,
  type Resource,
  type SkillPack,
  skillPacks,
} from '#core/kinds'
import {
  type ConfigMap,
  configMaps,
  controllerOf,
  deployments,
  Informer,
  type InformerOptions,
  type Job,
  jobs,
  type Kube,
  namespaces,
  networkPolicies,
  type Pod,
  pods,
  roleBindings,
  serviceAccounts,
  services,
} from '#core/kube'
import type { Logger } from '#core/telemetry'
import { turnIndexers } from './channels/turn.ts'
import { channelKeyOfPod } from './instances/channels.ts'
import { channelLabel } from './resources/channel.ts'
import { runUidLabel } from './resources/job.ts'
import { skillsOfLabel } from './resources/skill-config-map.ts'
import { managedLabel } from './resources/tenant.ts'
import { instanceKeyOf } from './runs/capacity.ts'

/** Everything the controllers read, one informer a kind. A kind whose CRD is not there yet is waited for. */
export function createCaches(kube: Kube, log: Logger) {
  const informer = <T extends KubeObject>(resource: Resource, options: InformerOptions<T> = {}) =>
    new Informer<T>(kube, resource, {
      namespace: '*',
      // A CRD that is being installed, or an API server that restarts, is back in seconds.
      backoff: { maxMs: 3000 },
      onError: (err) => log.debug({ kind: resource.kind, err }, 'informer reconnects'),
      ...options,
    })
  const byLabel = <T extends KubeObject>(label: string, index: string): InformerOptions<T> => ({
    labelSelector: label,
    indexers: { [index]: (object) => [object.metadata.labels?.[label] ?? ''] },
  })
  const byNamespace = <T extends KubeObject>(): InformerOptions<T> => ({
    indexers: { namespace: (object) => [object.metadata.namespace ?? ''] },
  })
  const channelOf = (object: KubeObject) => {
    return object.metadata.labels?.[channelLabel] === undefined ? [] : [controllerOf(object)?.uid ?? '']
  }
  const managed = Object.entries(managedLabel)
    .map(([name, value]) => `${name}=${value}`)
    .join(',')
  return {
    runs: informer<AgentRun>(agentRuns, {
      indexers: { instance: (run) => [instanceKeyOf(run)], uid: (run) => [run.metadata.uid ?? ''], ...turnIndexers },
    }),
    instances: informer<ClawInstance>(clawInstances, byNamespace()),
    policies: informer<ClawPolicy>(clawPolicies),
    packs: informer<SkillPack>(skillPacks),
    jobs: informer<Job>(jobs, byLabel(runUidLabel, 'run')),
    pods: informer<Pod>(pods, byLabel(runUidLabel, 'run')),
    configMaps: informer<ConfigMap>(configMaps, byLabel(skillsOfLabel, 'owner')),
    serviceAccounts: informer<KubeObject>(serviceAccounts, { labelSelector: managed, indexers: { channelOf } }),
    roleBindings: informer<KubeObject>(roleBindings, { labelSelector: managed }),
    // Everybody's: they add up.
    networkPolicies: informer<KubeObject>(networkPolicies, {
      indexers: { ...byNamespace().indexers, channelOf },
    }),
    deployments: informer<KubeObject>(deployments, { labelSelector: channelLabel, indexers: { channelOf } }),
    services: informer<KubeObject>(services, { labelSelector: channelLabel, indexers: { channelOf } }),
    channelPods: informer<Pod>(pods, {
      labelSelector: channelLabel,
      indexers: { channel: (pod) => [channelKeyOfPod(pod)] },
    }),
    namespaces: informer<KubeObject>(namespaces),
  }
}

export type Caches = ReturnType<typeof createCaches>
