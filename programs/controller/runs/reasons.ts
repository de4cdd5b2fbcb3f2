/**
 * How a run ends where the controller says it and not the bridge, one word for each thing that a person would do
 * something else about. Reasons of a refusal are those of `resolveRun`.
 */
export const endReasons = {
  cancelled: 'Cancelled',
  /** The run's time is over, and its bridge did not say so. */
  deadline: 'DeadlineExceeded',
  /** The agent was not started in time; the message has the pod's own reason. */
  startDeadline: 'StartDeadline',
  /** The agent ended, with exit code 0, and wrote no result. */
  noResult: 'NoResult',
  /** The agent ended with another exit code. */
  agentFailed: 'AgentFailed',
  /** The agent was killed by a signal that nobody of ours sent. */
  agentDied: 'AgentDied',
  /** The agent used more memory than its container may. */
  outOfMemory: 'OOMKilled',
  /** The pod had to go: the node ran short of something, or somebody drained it. */
  evicted: 'Evicted',
  /** The pod had to go for one of higher priority. */
  preempted: 'Preempted',
  /** The node shut down, was deleted, or has not been heard of for longer than the cluster waits. */
  nodeLost: 'NodeLost',
  /** The node refused the pod before it started anything. */
  podRejected: 'PodRejected',
  /** Somebody deleted the pod or the Job. */
  podLost: 'PodLost',
  /** The API server refuses the Job for what is in it. */
  jobRefused: 'JobRefused',
  /** The run names a parent that does not exist any more. */
  parentMissing: 'ParentMissing',
} as const
