import { setTimeout as delay } from 'node:timers/promises'
import { isClawError } from '#core/errors'
import type { KubeObject } from '#core/kinds'
import type { Kube } from '#core/kube'
import { isFoundation, type Manifest, resourceOf } from '../manifest-file.ts'

/**
 * Applies manifests by server-side apply under one field manager: what programs write beside it stays (the webhook's
 * authority), and a field that a version no longer states goes. Applying the same again changes nothing.
 */
export async function applyAll(kube: Kube, manifests: readonly Manifest[]): Promise<void> {
  for (const manifest of manifests.filter(isFoundation)) await apply(kube, manifest)
  await Promise.all(manifests.filter((one) => !isFoundation(one)).map((one) => apply(kube, one)))
}

async function apply(kube: Kube, manifest: Manifest): Promise<void> {
  try {
    await serverSideApply(kube, manifest)
  } catch (error) {
    // What a Job runs never changes once it is there: the one of the last version makes room.
    if (manifest.kind !== 'Job' || !isClawError(error, 'invalid')) throw error
    await remove(kube, manifest)
    await serverSideApply(kube, manifest)
  }
}

async function serverSideApply(kube: Kube, manifest: Manifest): Promise<void> {
  await kube.requestJson(pathOf(kube, manifest), {
    method: 'PATCH',
    headers: { 'Content-Type': 'application/apply-patch+yaml' },
    query: { fieldManager: 'k8sclaw-install', force: true },
    body: manifest,
  })
}

async function remove(kube: Kube, manifest: Manifest): Promise<void> {
  const at = addressOf(manifest)
  try {
    await kube.delete(resourceOf(manifest), at)
    while (await kube.find(resourceOf(manifest), at)) await delay(200)
  } catch (error) {
    if (!isClawError(error, 'not_found')) throw error
  }
}

/** Where the object of a manifest is. */
export function addressOf({ metadata }: Manifest): { name: string; namespace?: string } {
  const { name, namespace } = metadata
  return { name, ...(namespace ? { namespace } : {}) }
}

/** The object as the server has it. */
export async function findObject<T extends KubeObject>(kube: Kube, manifest: Manifest): Promise<T | undefined> {
  return await kube.find<T>(resourceOf(manifest), addressOf(manifest))
}

function pathOf(kube: Kube, manifest: Manifest): string {
  return kube.path(resourceOf(manifest), addressOf(manifest))
}
