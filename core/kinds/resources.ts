/** Where the kinds are found in the API. Apart from their schemas, which programs that only read them need not load. */
export const group = 'k8sclaw.io'
export const version = 'v1alpha1'
export const apiVersion = `${group}/${version}`

/** How a kind is addressed over HTTP. */
export interface Resource {
  /** Empty for the core group. */
  group: string
  version: string
  kind: string
  plural: string
  namespaced: boolean
}

export const agentRuns: Resource = { group, version, kind: 'AgentRun', plural: 'agentruns', namespaced: true }
export const clawInstances: Resource = {
  group,
  version,
  kind: 'ClawInstance',
  plural: 'clawinstances',
  namespaced: true,
}
export const clawPolicies: Resource = { group, version, kind: 'ClawPolicy', plural: 'clawpolicies', namespaced: true }
export const skillPacks: Resource = { group, version, kind: 'SkillPack', plural: 'skillpacks', namespaced: true }

/*
 * What is no object of Kubernetes and is asked for by the same words: roles name these plurals, and the API server asks
 * SubjectAccessReview about them.
 */
export const sessions: Resource = { group, version, kind: 'Session', plural: 'sessions', namespaced: true }
export const memories: Resource = { group, version, kind: 'Memory', plural: 'memories', namespaced: true }
export const usageReports: Resource = { group, version, kind: 'UsageReport', plural: 'usagereports', namespaced: true }
