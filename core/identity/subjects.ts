/** A ClawInstance as the bus knows it. */
export interface InstanceAddress {
  namespace: string
  /** Its name, a DNS label. */
  instance: string
}

/** A run as the bus knows it. */
export interface RunAddress extends InstanceAddress {
  /** uid of the AgentRun. */
  uid: string
}

const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
const uidForm = /^[A-Za-z0-9-]{1,64}$/

export function isLabel(text: string): boolean {
  return text.length <= 63 && label.test(text)
}

/** What every subject of an instance begins with. Throws RangeError for a name that could shift subject levels. */
export function instancePrefix({ namespace, instance }: InstanceAddress): string {
  if (!isLabel(namespace)) throw new RangeError(`namespace is not a DNS label: ${JSON.stringify(namespace)}`)
  if (!isLabel(instance)) throw new RangeError(`instance is not a DNS label: ${JSON.stringify(instance)}`)
  return `k8sclaw.${namespace}.${instance}`
}

/**
 * The subjects of one run. Throws RangeError for a name that could shift subject levels (dots, wildcards, spaces):
 * whoever calls has let an unchecked name through.
 */
export function runSubjects(run: RunAddress) {
  const above = instancePrefix(run)
  if (!uidForm.test(run.uid)) throw new RangeError(`not a run uid: ${JSON.stringify(run.uid)}`)
  const prefix = `${above}.run.${run.uid}`
  return {
    /** The record: journal, outcome and inbox, as the stream RUNS holds it. */
    record: `${prefix}.*`,
    journal: `${prefix}.journal`,
    outcome: `${prefix}.outcome`,
    in: `${prefix}.in`,
    /** Previews. Who publishes is part of the subject, so that the bus keeps the model's text and the agent's apart. */
    live: `${prefix}.live.*`,
    liveModel: `${prefix}.live.model`,
    liveAgent: `${prefix}.live.agent`,
    usage: `${prefix}.usage.model`,
  } as const
}

/** A ClawPolicy as the bus knows it. */
export interface PolicyAddress {
  namespace: string
  /** Name of the ClawPolicy, a DNS subdomain. */
  name: string
}

const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/

/**
 * Where the compiled form of one policy lies and is told. A name may hold dots, which would be levels here: they are
 * written `_`, which no name holds, so that two names never share a subject. Throws RangeError for what is no name.
 */
export function policySubjects({ namespace, name }: PolicyAddress) {
  if (!label.test(namespace)) throw new RangeError(`namespace is not a DNS label: ${JSON.stringify(namespace)}`)
  if (!subdomain.test(name)) throw new RangeError(`not the name of a policy: ${JSON.stringify(name)}`)
  const key = `${namespace}.${name.replaceAll('.', '_')}`
  return {
    /** The key in the bucket `policies`, as JetStream stores it. */
    stored: `$KV.policies.${key}`,
    /** Where the bus tells of each change, once it is stored. */
    changed: `k8sclaw.policies.${key}`,
    /** Where a bridge asks for the present value. */
    get: `k8sclaw.policy.${key}`,
  } as const
}

/** The policy whose compiled form lies at that subject of the bucket. */
export function policyOfSubject(stored: string): PolicyAddress | undefined {
  const [, namespace, key] = /^\$KV\.policies\.([^.]+)\.([^.]+)$/.exec(stored) ?? []
  return namespace && key ? { namespace, name: key.replaceAll('_', '.') } : undefined
}
