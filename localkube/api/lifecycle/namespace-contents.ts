import { randomUUID } from 'node:crypto'
import { timestamp } from '../objects/metadata.ts'
import type { Change, Store, Transaction } from '../store/index.ts'

const rootCa = 'kube-root-ca.crt'

/**
 * Every namespace has the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt` from its first moment, and has
 * them again when somebody deletes or changes them.
 */
export class NamespaceContents {
  readonly #caPem: string

  constructor(caPem: string) {
    this.#caPem = caPem
  }

  /** Adds what is missing in a namespace; runs in the transaction that creates it. */
  provide(transaction: Transaction, namespace: string): void {
    const metadata = (name: string): Parameters<Transaction['put']>[1]['metadata'] => ({
      name,
      namespace,
      uid: randomUUID(),
      resourceVersion: '',
      creationTimestamp: timestamp(),
    })
    const account = { resource: 'serviceaccounts', namespace, name: 'default' }
    if (!transaction.get(account)) {
      transaction.put(account, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: metadata('default') })
    }
    const configMap = { resource: 'configmaps', namespace, name: rootCa }
    const data = { 'ca.crt': this.#caPem }
    const current = transaction.get(configMap)?.object
    if (!current) {
      transaction.put(configMap, { apiVersion: 'v1', kind: 'ConfigMap', metadata: metadata(rootCa), data })
    } else if (JSON.stringify(current.data) !== JSON.stringify(data)) {
      transaction.put(configMap, { ...current, data })
    }
  }

  /** Repairs them now, since the authority may be another one than before, and whenever somebody touches them. */
  async keep(store: Store): Promise<void> {
    const repair = (transaction: Transaction, namespace: string): void => {
      const parent = transaction.get({ resource: 'namespaces', namespace: '', name: namespace })
      if (parent && !parent.object.metadata.deletionTimestamp) this.provide(transaction, namespace)
    }
    store.subscribe((change) => {
      if (!touchesContents(change)) return
      // The only failures are those of the whole database, which every client hears of itself.
      store.write((transaction) => repair(transaction, change.entry.namespace)).catch(() => undefined)
    })
    await store.write((transaction) => {
      for (const { name } of transaction.list('namespaces')) repair(transaction, name)
    })
  }
}

function touchesContents({ type, entry }: Change): boolean {
  if (entry.resource === 'serviceaccounts') return entry.name === 'default' && type === 'DELETED'
  return entry.resource === 'configmaps' && entry.name === rootCa && type !== 'ADDED'
}
