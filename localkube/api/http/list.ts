import { ApiError, badRequest, gone } from '../api-error.ts'
import type { Kind } from '../kinds/index.ts'
import type { Objects } from '../objects/objects.ts'
import { compareText, type Entry } from '../store/index.ts'
import type { Selection } from '../types.ts'
import type { ListMeta } from '../wire/table.ts'
import { parseRevision } from './watch.ts'

interface Continue {
  revision: number
  namespace: string
  name: string
}

/** One page of a list. All pages carry the revision of the first, so that a watch from it misses nothing. */
export function listPage(
  objects: Objects,
  kind: Kind,
  selection: Selection,
  query: URLSearchParams,
): { entries: Entry[]; metadata: ListMeta } {
  checkRevision(objects, query)
  const limit = Number(query.get('limit') ?? 0)
  if (!Number.isInteger(limit) || limit < 0) throw badRequest('limit must be a whole number, 0 or more')
  const token = query.get('continue') ? parseContinue(query.get('continue') ?? '') : undefined
  const revision = token?.revision ?? objects.store.revision
  if (token && objects.store.since(token.revision) === undefined) {
    throw gone(
      'The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.',
    )
  }
  const all = objects.list(kind, selection)
  const rest = token ? all.filter((entry) => comparePosition(entry, token) > 0) : all
  const entries = limit > 0 ? rest.slice(0, limit) : rest
  const last = entries.at(-1)
  const metadata: ListMeta = { resourceVersion: String(revision) }
  if (last && rest.length > entries.length) {
    metadata.continue = Buffer.from(
      JSON.stringify({ revision, namespace: last.namespace, name: last.name } satisfies Continue),
    ).toString('base64url')
    if (!selection.labelSelector && !selection.fieldSelector) metadata.remainingItemCount = rest.length - entries.length
  }
  return { entries, metadata }
}

/** The state is always the newest, so any revision that exists is fine; one from the future never will be. */
function checkRevision(objects: Objects, query: URLSearchParams): void {
  const wanted = query.get('resourceVersion') ?? ''
  if (wanted === '' || wanted === '0') return
  const revision = parseRevision(wanted)
  const current = objects.store.revision
  if (revision > current) {
    throw new ApiError(504, 'Timeout', `Timeout: Too large resource version: ${revision}, current: ${current}`, {
      causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
      retryAfterSeconds: 1,
    })
  }
  if (query.get('resourceVersionMatch') === 'Exact' && revision !== current) {
    throw gone(`The resourceVersion for the provided list is too old: this server keeps the newest state only.`)
  }
}

function comparePosition(entry: Entry, position: Continue): number {
  return compareText(entry.namespace, position.namespace) || compareText(entry.name, position.name)
}

function parseContinue(token: string): Continue {
  try {
    const value = JSON.parse(Buffer.from(token, 'base64url').toString()) as Partial<Continue>
    const { revision, namespace, name } = value
    if (typeof revision === 'number' && typeof namespace === 'string' && typeof name === 'string') {
      return { revision, namespace, name }
    }
  } catch {
    // Said below, for every way in which it can be wrong.
  }
  throw badRequest('continue key is not valid: it must be a token from an earlier page of this list')
}
