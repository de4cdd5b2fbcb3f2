/**
 * The node of localkube: kubelet, scheduler and the controllers of Jobs, Deployments and ReplicaSets, for one machine.
 * It promises that a pod's containers run as child processes with the order, restarts, probes, volumes, environment,
 * addresses and ends that Kubernetes gives them; that confined images run inside bubblewrap, where they see programs,
 * their volumes and a loopback, and nothing of the machine's user; and that no process outlives the pod, or the node.
 * It refuses to pull images (they come from a table), to run what the table does not name, and to call a container
 * isolated where bubblewrap does not work. It sets no cpu or memory limits.
 */
export type { Image, ImageTable } from './images.ts'
export { detectIsolation, type Isolation } from './isolation.ts'
export { type LocalNode, type NodeOptions, startNode } from './node.ts'
