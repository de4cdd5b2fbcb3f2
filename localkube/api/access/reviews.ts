import { badRequest } from '../api-error.ts'
import { isObject, type Json, listAt, objectAt, stringAt } from '../json.ts'
import type { Attributes, Rbac } from './rbac.ts'
import type { Tokens } from './tokens.ts'
import type { User } from './user.ts'

/** A resource that is only ever asked, never kept: a POST answers. */
export interface Review {
  group: string
  version: string
  kind: string
  plural: string
  namespaced: boolean
  answer(services: { rbac: Rbac; tokens: Tokens }, user: User, namespace: string, body: Json): Json
}

const authentication = { group: 'authentication.k8s.io', version: 'v1', namespaced: false }
const authorization = { group: 'authorization.k8s.io', version: 'v1', namespaced: false }

export const reviews: Review[] = [
  {
    ...authentication,
    kind: 'TokenReview',
    plural: 'tokenreviews',
    answer({ tokens }, _user, _namespace, body) {
      const token = stringAt(body, 'spec', 'token')
      if (token === '') throw badRequest('spec.token: Required value: token is required')
      const result = tokens.review(token, listAt(body, 'spec', 'audiences').map(String))
      const status =
        'error' in result
          ? { error: result.error, user: {} }
          : { authenticated: true, user: userInfo(result.user), audiences: result.audiences }
      return { ...body, status }
    },
  },
  {
    ...authentication,
    kind: 'SelfSubjectReview',
    plural: 'selfsubjectreviews',
    answer: (_services, user, _namespace, body) => ({ ...body, status: { userInfo: userInfo(user) } }),
  },
  {
    ...authorization,
    kind: 'SubjectAccessReview',
    plural: 'subjectaccessreviews',
    answer: ({ rbac }, _user, _namespace, body) => decide(rbac, subjectOf(body), body),
  },
  {
    ...authorization,
    kind: 'LocalSubjectAccessReview',
    plural: 'localsubjectaccessreviews',
    namespaced: true,
    answer({ rbac }, _user, namespace, body) {
      if (stringAt(body, 'spec', 'resourceAttributes', 'namespace') !== namespace) {
        throw badRequest(
          `spec.resourceAttributes.namespace: Invalid value: must match metadata.namespace "${namespace}"`,
        )
      }
      return decide(rbac, subjectOf(body), body)
    },
  },
  {
    ...authorization,
    kind: 'SelfSubjectAccessReview',
    plural: 'selfsubjectaccessreviews',
    answer: ({ rbac }, user, _namespace, body) => decide(rbac, user, body),
  },
  {
    ...authorization,
    kind: 'SelfSubjectRulesReview',
    plural: 'selfsubjectrulesreviews',
    answer: ({ rbac }, user, _namespace, body) => ({ ...body, status: rulesStatus(rbac, user, body) }),
  },
]

export function findReview(group: string, version: string, plural: string): Review | undefined {
  return reviews.find((one) => one.group === group && one.version === version && one.plural === plural)
}

/** A user as `authentication.k8s.io` UserInfo. */
export function userInfo(user: User): Json {
  return {
    username: user.name,
    ...(user.uid ? { uid: user.uid } : {}),
    groups: user.groups,
    ...(user.extra ? { extra: user.extra } : {}),
  }
}

function decide(rbac: Rbac, user: User, body: Json): Json {
  return { ...body, status: { allowed: rbac.allows(user, attributesOf(body)) } }
}

function attributesOf(body: Json): Attributes {
  const spec = objectAt(body, 'spec')
  if (isObject(spec.nonResourceAttributes)) {
    return { verb: stringAt(spec.nonResourceAttributes, 'verb'), path: stringAt(spec.nonResourceAttributes, 'path') }
  }
  if (!isObject(spec.resourceAttributes)) {
    throw badRequest(
      'spec: Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be specified',
    )
  }
  const it = spec.resourceAttributes
  return {
    verb: stringAt(it, 'verb'),
    group: stringAt(it, 'group'),
    resource: stringAt(it, 'resource'),
    subresource: stringAt(it, 'subresource'),
    namespace: stringAt(it, 'namespace'),
    name: stringAt(it, 'name'),
  }
}

function subjectOf(body: Json): User {
  const spec = objectAt(body, 'spec')
  const name = stringAt(spec, 'user')
  const groups = listAt(spec, 'groups').map(String)
  if (name === '' && groups.length === 0) {
    throw badRequest('spec.user: Required value: at least one of user or group must be specified')
  }
  return { name, groups }
}

function rulesStatus(rbac: Rbac, user: User, body: Json): Json {
  const namespace = stringAt(body, 'spec', 'namespace')
  if (namespace === '') throw badRequest('spec.namespace: Required value: no namespace on request')
  const held = user.groups.includes('system:masters')
    ? [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'], resourceNames: [], nonResourceURLs: ['*'] }]
    : rbac.rulesOf(user, namespace)
  return {
    resourceRules: held
      .filter((rule) => rule.resources.length > 0)
      .map(({ verbs, apiGroups, resources, resourceNames }) => ({
        verbs,
        apiGroups,
        resources,
        ...(resourceNames.length > 0 ? { resourceNames } : {}),
      })),
    nonResourceRules: held
      .filter((rule) => rule.nonResourceURLs.length > 0)
      .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
    incomplete: false,
  }
}
