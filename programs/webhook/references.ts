import { ClawError } from '#core/errors'
import type { Resource } from '#core/kinds'
import type { Lookups } from './context.ts'
import type { ReviewRequest } from './review.ts'

/** Something that an object names, and that its writer lends it. */
export interface Reference {
  field: string
  verb: string
  resource: Resource
  name: string
  /** The end of a sentence that begins with what is named. */
  needs: string
}

/** The writer, as a SubjectAccessReview asks about one. */
export function writerOf({ userInfo, namespace }: Pick<ReviewRequest, 'userInfo' | 'namespace'>) {
  return { user: userInfo.username, uid: userInfo.uid, groups: userInfo.groups, extra: userInfo.extra, namespace }
}

/** Each right must be the writer's own. Throws ClawError `forbidden` that names the first field for which it is not. */
export async function checkReferences(
  references: readonly Reference[],
  { userInfo, namespace }: Pick<ReviewRequest, 'userInfo' | 'namespace'>,
  lookups: Pick<Lookups, 'subjectAccessReview'>,
): Promise<void> {
  const who = writerOf({ userInfo, namespace })
  const may = references.map(({ verb, resource, name }) =>
    lookups.subjectAccessReview({ ...who, verb, resource, name }),
  )
  const answers = await Promise.all(may)
  const refused = references[answers.indexOf(false)]
  if (!refused) return
  const { field, resource, name, needs } = refused
  throw new ClawError('forbidden', `${field}: naming ${resource.kind} ${name} needs ${needs}`, { field })
}
