import { ClawError } from '#core/errors'
import {
  type AgentRun,
  type AgentRunSpec,
  agentRunSpec,
  agentRuns,
  type ClawInstance,
  type ClawPolicy,
  clawInstances,
  clawPolicies,
  isTerminal,
  parseSpec,
  type SkillPack,
  sessions,
  skillPacks,
} from '#core/kinds'
import { bindingPolicy, mayHaveChild, packSource, type Refusal, resolveRun, type SkillSource } from '#core/policy'
import { checkAuthorship, isController } from './authorship.ts'
import type { Admission, AdmissionContext, Lookups } from './context.ts'
import { instanceLabel } from './mutation.ts'
import { writerOf } from './references.ts'
import type { ReviewRequest } from './review.ts'

/** A run is judged once, when it is created: but for `cancel`, which must always be possible, its spec never changes. */
export const admitRun: Admission = async (request, context) => {
  if (request.operation === 'CREATE') await admitNew(request, context)
  if (request.operation === 'UPDATE') checkLabel(request)
}

async function admitNew(request: ReviewRequest, context: AdmissionContext): Promise<void> {
  const spec = parseSpec(agentRunSpec, request.object?.spec)
  checkWriter(spec, request, context)
  checkLabel(request)
  await checkConversation(spec, request, context)
  const { namespace } = request
  const { lookups, platform } = context
  const instance = await lookups.find<ClawInstance>(clawInstances, { name: spec.instanceRef.name, namespace })
  const [policy, packs, parent] = await Promise.all([
    instance && lookups.find<ClawPolicy>(clawPolicies, { name: bindingPolicy(instance).name, namespace }),
    instance && packsOf(instance, namespace, lookups),
    spec.parent && lookups.find<AgentRun>(agentRuns, { name: spec.parent.name, namespace }),
  ])
  if (spec.parent) await checkParent(spec, parent, namespace, lookups)
  // A reference to what does not exist yet is no refusal: manifests come in any order, and the run waits.
  if (!instance) return
  // What lies in a ConfigMap this program may not read; the controller says so in the run's status where it is wrong.
  const skills = { packs: packs ?? {}, configMaps: {} }
  const resolution = resolveRun({ instance, policy, run: { spec }, parent, skills, platform })
  if ('refused' in resolution) throw refusal(resolution.refused)
}

/** Again what was looked at before: a webhook of somebody else may have changed the object since, and ours be missing. */
function checkWriter(spec: AgentRunSpec, { userInfo }: ReviewRequest, { systemNamespace }: AdmissionContext): void {
  if (!isController(userInfo, systemNamespace)) checkAuthorship(spec, userInfo)
  const field = 'spec.origin'
  if (!spec.origin) throw new ClawError('forbidden', `${field}: admission has not written it`, { field })
}

/** Whoever goes on with a conversation is told, by an agent if not by the API, what was said in it. */
async function checkConversation(spec: AgentRunSpec, request: ReviewRequest, context: AdmissionContext): Promise<void> {
  const { lookups, systemNamespace } = context
  if (spec.sessionKey === undefined || isController(request.userInfo, systemNamespace)) return
  if (await lookups.subjectAccessReview({ ...writerOf(request), verb: 'get', resource: sessions })) return
  const field = 'spec.sessionKey'
  const needs = `the verb get on ${sessions.plural}.${sessions.group}`
  throw new ClawError(
    'forbidden',
    `${field}: a run of a conversation is told what was said in it, which needs ${needs}`,
    {
      field,
    },
  )
}

function checkLabel({ object, oldObject }: ReviewRequest): void {
  const label = object?.metadata?.labels?.[instanceLabel]
  const spec = object?.spec as Partial<AgentRunSpec> | null | undefined
  if (label === spec?.instanceRef?.name) return
  if (oldObject && label === oldObject.metadata?.labels?.[instanceLabel]) return
  const field = 'metadata.labels'
  throw new ClawError('invalid', `${field}: ${instanceLabel} must be the name of the run's instance`, { field })
}

/** Of a child that the controller creates. It is the only writer of children, one at a time, so they can be counted. */
async function checkParent(spec: AgentRunSpec, parent: AgentRun | undefined, namespace: string, lookups: Lookups) {
  const field = 'spec.parent'
  if (!parent) throw new ClawError('invalid', `${field}: there is no AgentRun ${spec.parent?.name}`, { field })
  if (isTerminal(parent.status?.phase)) {
    throw new ClawError('invalid', `${field}: AgentRun ${parent.metadata.name} is over`, { field })
  }
  const labelSelector = `${instanceLabel}=${parent.spec.instanceRef.name}`
  const { items } = await lookups.list<AgentRun>(agentRuns, { namespace, labelSelector })
  const children = items.filter((run) => run.spec.parent?.name === parent.metadata.name)
  const refused = mayHaveChild(parent, children.length)
  if (refused) throw refusal(refused)
}

async function packsOf(instance: ClawInstance, namespace: string, lookups: Lookups) {
  const names = instance.spec.skills?.flatMap(({ skillPackRef }) => skillPackRef?.name ?? []) ?? []
  const packs = await Promise.all(names.map((name) => lookups.find<SkillPack>(skillPacks, { name, namespace })))
  const sources = packs.flatMap((pack) => (pack ? [[pack.metadata.name, packSource(pack.spec, '')] as const] : []))
  return Object.fromEntries<SkillSource>(sources)
}

/** What is wrong with the instance or its policy is wrong with the run for naming it. */
function refusal({ field = 'spec.instanceRef', reason, message }: Refusal): ClawError {
  return new ClawError('invalid', `${field}: ${message} (${reason})`, { field })
}
