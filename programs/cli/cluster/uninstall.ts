import { setTimeout as delay } from 'node:timers/promises'
import { ClawError, isClawError } from '#core/errors'
import {
  agentRuns,
  clawInstances,
  clawPolicies,
  durationSeconds,
  type KubeObject,
  type Resource,
  skillPacks,
} from '#core/kinds'
import {
  configMaps,
  jobs,
  type Kube,
  namespaces,
  networkPolicies,
  pods,
  roleBindings,
  serviceAccounts,
} from '#core/kube'
import { type ClusterOptions, connect } from '../context.ts'
import { type Manifest, resourceOf } from '../manifest-file.ts'
import { safeLine } from '../terminal.ts'
import { addressOf, findObject } from './apply.ts'
import { nameOf, readPlatform, type Source } from './manifests.ts'

export interface UninstallOptions extends ClusterOptions, Pick<Source, 'filename'> {
  yes: boolean
  timeout: string
}

const ourKinds = [agentRuns, clawInstances, skillPacks, clawPolicies]
/** What the controller makes in the namespaces of tenants, each owned by one of ours. */
const made = [jobs, configMaps, serviceAccounts, roleBindings, networkPolicies]
const configurations = ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration']

/**
 * `k8sclaw uninstall`: everything goes, in the order in which nothing hangs. First the webhook configurations, for a
 * webhook that is gone refuses every deletion; then the objects of our kinds and what the controller made for them, while
 * their definitions are still there; then the platform; last the definitions and the roles.
 */
export async function uninstall(options: UninstallOptions, write: (text: string) => void): Promise<void> {
  const { kube } = await connect(options)
  const say = (sentence: string) => write(`${safeLine(sentence)}\n`)
  const manifests = readPlatform(options)
  const counts = await Promise.all(ourKinds.map(async (kind) => `${(await listAll(kube, kind)).length} ${kind.plural}`))
  if (!options.yes) {
    throw new ClawError(
      'invalid',
      `this would delete the platform of ${kube.server} and, in all namespaces, ${counts.join(', ')}; say --yes to do it`,
    )
  }
  const deadline = Date.now() + durationSeconds(options.timeout) * 1000
  const remove = async (these: readonly Manifest[]) => {
    await Promise.all(these.map((one) => ignoreMissing(kube.delete(resourceOf(one), addressOf(one)))))
    await until(deadline, async () => {
      const left = await Promise.all(these.map((one) => findObject(kube, one)))
      return these.filter((_, i) => left[i] !== undefined).map(nameOf)
    })
  }
  await remove(manifests.filter(({ kind }) => configurations.includes(kind)))
  say(`deleting ${counts.join(', ')}`)
  for (const kind of ourKinds) await removeAll(kube, kind, deadline)
  await sweep(kube, deadline)
  const definitions = manifests.filter(({ kind }) => kind === 'CustomResourceDefinition')
  const homes = manifests.filter(({ kind }) => kind === 'Namespace')
  say(`deleting ${homes.map(nameOf).join(', ')}`)
  await remove(homes)
  // What the controller was still making when its instances went.
  await sweep(kube, deadline)
  await releaseNamespaces(kube)
  await remove(definitions)
  await remove(manifests.filter(({ metadata }) => metadata.namespace === undefined))
  say('nothing of it is left')
}

async function removeAll(kube: Kube, kind: Resource, deadline: number): Promise<void> {
  await until(deadline, async () => {
    const items = await listAll(kube, kind)
    const namespaces = new Set(items.map(({ metadata }) => metadata.namespace))
    for (const namespace of namespaces) {
      const body = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background' }
      await kube.requestJson(kube.collection(kind, namespace), { method: 'DELETE', body })
    }
    return items.map(({ metadata }) => `${kind.plural}/${metadata.name} in ${metadata.namespace}`)
  })
}

/** Deletes what belonged to objects of our kinds; the garbage collector may have been faster. */
async function sweep(kube: Kube, deadline: number): Promise<void> {
  await until(deadline, async () => {
    const left: string[] = []
    for (const resource of made) {
      for (const { metadata } of await listAll(kube, resource, 'app.kubernetes.io/managed-by=k8sclaw')) {
        if (!metadata.ownerReferences?.some((owner) => owner.apiVersion.startsWith('k8sclaw.io/'))) continue
        left.push(`${resource.plural}/${metadata.name} in ${metadata.namespace}`)
        if (!metadata.deletionTimestamp) await ignoreMissing(kube.delete(resource, metadata))
      }
    }
    const running = await listAll(kube, pods, 'k8sclaw.io/run-uid')
    return [...left, ...running.map(({ metadata }) => `pods/${metadata.name} in ${metadata.namespace}`)]
  })
}

/** Takes back the level of Pod Security where the controller set it. */
async function releaseNamespaces(kube: Kube): Promise<void> {
  const ours = 'k8sclaw.io/pod-security'
  for (const { metadata } of await listAll(kube, namespaces, `${ours}=set`)) {
    const labels = { [ours]: null, 'pod-security.kubernetes.io/enforce': null }
    await ignoreMissing(kube.patch(namespaces, metadata, { metadata: { labels } }).then(() => undefined))
  }
}

/** Repeats until nothing is left. Throws ClawError `timeout` that names what is. */
async function until(deadline: number, left: () => Promise<string[]>): Promise<void> {
  for (;;) {
    const names = await left()
    if (names.length === 0) return
    if (Date.now() > deadline) {
      const shown = names.slice(0, 5).join(', ')
      throw new ClawError('timeout', `still there: ${shown}${names.length > 5 ? ` and ${names.length - 5} more` : ''}`)
    }
    await delay(500)
  }
}

/** All of a kind, everywhere; none where the kind itself is not there. */
async function listAll(kube: Kube, resource: Resource, labelSelector?: string): Promise<KubeObject[]> {
  try {
    return (await kube.list(resource, { namespace: '*', labelSelector })).items
  } catch (error) {
    if (isClawError(error, 'not_found')) return []
    throw error
  }
}

async function ignoreMissing(work: Promise<void>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!isClawError(error, 'not_found')) throw error
  })
}
