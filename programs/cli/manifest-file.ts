import { parseAllDocuments } from 'yaml'
import { ClawError } from '#core/errors'
import type { Resource } from '#core/kinds'

/** An object as a manifest says it: not read back from a server, so it has no uid and no resourceVersion. */
export interface Manifest {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace?: string; labels?: Record<string, string>; annotations?: Record<string, string> }
  [field: string]: unknown
}

/** The documents of a YAML text. Throws ClawError `malformed` with the name of the file and the line. */
export function parseManifests(text: string, file: string): Manifest[] {
  return parseAllDocuments(text).flatMap((document) => {
    const [error] = document.errors
    if (error)
      throw new ClawError('malformed', `${file}:${error.linePos?.[0].line ?? '?'}: ${error.message}`, { cause: error })
    const object = document.toJS() as Manifest | null
    if (!object) return []
    if (!object.apiVersion || !object.kind || !object.metadata?.name)
      throw new ClawError('malformed', `${file}: a document has no apiVersion, kind or metadata.name`)
    return [object]
  })
}

/** The collection of a manifest's kind: the plural by the rules of English that the kinds of Kubernetes follow. */
export function resourceOf({ apiVersion, kind, metadata }: Manifest): Resource {
  const [version = '', group = ''] = apiVersion.split('/').reverse()
  const name = kind.toLowerCase()
  const plural = name.endsWith('y') ? `${name.slice(0, -1)}ies` : name.endsWith('s') ? `${name}es` : `${name}s`
  return { group, version, kind, plural, namespaced: metadata.namespace !== undefined }
}

/** What other manifests need to be there: namespaces before what they hold, definitions before their objects. */
export function isFoundation({ kind }: Manifest): boolean {
  return kind === 'Namespace' || kind === 'CustomResourceDefinition'
}
