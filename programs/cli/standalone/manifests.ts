import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { parseAllDocuments } from 'yaml'
import { ClawError } from '#core/errors'
import { ApiError, type LocalClient, type ObjectInput, type ResourceRef } from '#localkube/api'

const hashAnnotation = 'k8sclaw.io/manifest-hash'

/** The documents of a YAML file. Throws ClawError `malformed` with the file and the line. */
export function readManifests(file: string): ObjectInput[] {
  return parseAllDocuments(readFileSync(file, 'utf8')).flatMap((document) => {
    const [error] = document.errors
    if (error)
      throw new ClawError('malformed', `${file}:${error.linePos?.[0].line ?? '?'}: ${error.message}`, { cause: error })
    const object = document.toJS() as ObjectInput | null
    return object ? [object] : []
  })
}

/**
 * Creates what is missing and merges what changed since it was last applied here; an object whose manifest is the same
 * is not touched, so what programs wrote into it (the webhook's CA) stays.
 */
export async function apply(client: LocalClient, manifest: ObjectInput): Promise<void> {
  const hash = createHash('sha256').update(JSON.stringify(manifest)).digest('hex').slice(0, 16)
  const { name, namespace } = manifest.metadata
  if (!name)
    throw new ClawError('invalid', `a manifest of kind ${manifest.kind} has no metadata.name`, {
      field: 'metadata.name',
    })
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

/** The collection of a built-in kind: the lower-case plural by the rules of English that Kubernetes kinds follow. */
export function resourceOf(object: { apiVersion?: string; kind?: string }): ResourceRef {
  const [version = '', group = ''] = (object.apiVersion ?? '').split('/').reverse()
  const kind = (object.kind ?? '').toLowerCase()
  const plural = kind.endsWith('y') ? `${kind.slice(0, -1)}ies` : kind.endsWith('s') ? `${kind}es` : `${kind}s`
  return { group, version, plural }
}
