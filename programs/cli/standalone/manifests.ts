import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { ApiError, type LocalClient } from '#localkube/api'
import { type Manifest, parseManifests, resourceOf } from '../manifest-file.ts'

const hashAnnotation = 'k8sclaw.io/manifest-hash'

/** The documents of a YAML file. Throws ClawError `malformed` with the file and the line. */
export function readManifests(file: string): Manifest[] {
  return parseManifests(readFileSync(file, 'utf8'), file)
}

/**
 * Creates what is missing and merges what changed since it was last applied here; an object whose manifest is the same
 * is not touched, so what programs wrote into it (the webhook's CA) stays. What a Job runs never changes once it is there:
 * the one of the last version makes room.
 */
export async function apply(client: LocalClient, manifest: Manifest): Promise<void> {
  const hash = createHash('sha256').update(JSON.stringify(manifest)).digest('hex').slice(0, 16)
  const { name, namespace } = manifest.metadata
  const key = namespace ? { namespace, name } : { name }
  const wanted = {
    ...manifest,
    metadata: { ...manifest.metadata, annotations: { ...manifest.metadata.annotations, [hashAnnotation]: hash } },
  }
  const resource = resourceOf(manifest)
  const find = () => client.get(resource, key).catch(unless(404))
  const existing = await find()
  if (existing?.metadata.annotations?.[hashAnnotation] === hash) return
  if (existing && (await client.patch(resource, key, wanted).catch(unless(manifest.kind === 'Job' ? 422 : 404)))) return
  if (existing) await client.delete(resource, key, { propagation: 'Background' }).catch(unless(404))
  while (existing && (await find())) await sleep(50)
  await client.create(resource, wanted)
}

/** Undefined for this failure, and no other. */
function unless(code: number) {
  return (error: unknown): undefined => {
    if (error instanceof ApiError && error.code === code) return undefined
    throw error
  }
}
