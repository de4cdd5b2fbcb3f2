import { Kube } from './client.ts'
import { type FixedConnection, findConnection, fixedConnection, type KubeSource } from './connection.ts'

/**
 * The client for where this program runs: KUBECONFIG, else the pod's service account (folder
 * K8SCLAW_SERVICEACCOUNT_DIR), else ~/.kube/config. Throws ClawError `invalid` that says what is missing.
 */
export async function loadKube(source: KubeSource = {}): Promise<Kube> {
  return new Kube(await findConnection(source))
}

/** A client from a server's URL, its authority and a token in hand. */
export function connectKube(connection: FixedConnection): Kube {
  return new Kube(fixedConnection(connection))
}
