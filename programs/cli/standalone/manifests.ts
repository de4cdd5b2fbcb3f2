import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { ApiError, type LocalClient } from '#localkube/api'
import { type Manifest, parseManifests, resourceOf } from '../manifest-file.ts'

const hashAnnotation = 'k8sclaw.io/manifest-hash'

/** The documents of a YAML file. Throws ClawError `malformed` with the file and the line. */
export function readManifests(file: string): Manifest[] {
  return parseManifests(readFileSync(file, 'utf8'), file)
}

/**
 * Creates what is missing and merges what changed since it was last applied here; an object whose manifest is the same
 * is not touched, so what programs wrote into it (the webhook's CA) stays.
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
  const existing = await client.get(resource, key).catch((error: unknown) => {
    if (error instanceof ApiError && error.code === 404) return undefined
    throw error
  })
  if (!existing) await client.create(resource, wanted)
  else if (existing.metadata.annotations?.[hashAnnotation] !== hash) await client.patch(resource, key, wanted)
}
