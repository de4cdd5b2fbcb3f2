/** A run as the bus knows it. */
export interface RunAddress {
  namespace: string
  /** Name of the ClawInstance, a DNS label. */
  instance: string
  /** uid of the AgentRun. */
  uid: string
}

const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
const uidForm = /^[A-Za-z0-9-]{1,64}$/

/**
 * The subjects of one run. Throws RangeError for a name that could shift subject levels (dots, wildcards, spaces):
 * whoever calls has let an unchecked name through.
 */
export function runSubjects(run: RunAddress) {
  if (!label.test(run.namespace)) throw new RangeError(`namespace is not a DNS label: ${JSON.stringify(run.namespace)}`)
  if (!label.test(run.instance)) throw new RangeError(`instance is not a DNS label: ${JSON.stringify(run.instance)}`)
  if (!uidForm.test(run.uid)) throw new RangeError(`not a run uid: ${JSON.stringify(run.uid)}`)
  const prefix = `k8sclaw.${run.namespace}.${run.instance}.run.${run.uid}`
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
