import { ApiError } from '../api-error.ts'
import { objectAt, stringAt } from '../json.ts'
import { invalid } from '../schema/index.ts'
import type { Transaction } from '../store/index.ts'
import type { KubeObject } from '../types.ts'

/**
 * Gives each new Service a clusterIP of its own: in `prefix` (as `127.77.3.`), the lowest free number from 2 on. Runs
 * in the transaction of the create, so no two Services get the same.
 */
export function assignClusterAddress(prefix: string, service: KubeObject, transaction: Transaction): void {
  const spec = objectAt(service, 'spec')
  const asked = stringAt(spec, 'clusterIP')
  if (asked === 'None') {
    spec.clusterIPs = ['None']
    return
  }
  const taken = new Set(transaction.list('services').map(({ object }) => stringAt(object, 'spec', 'clusterIP')))
  const address = asked || freeAddress(prefix, taken)
  if (asked && taken.has(asked)) {
    const problem = invalid('spec.clusterIPs', [asked], 'provided IP is already allocated')
    const message = `Service "${service.metadata.name}" is invalid: spec.clusterIPs: Invalid value: ["${asked}"]: failed to allocate IP ${asked}: provided IP is already allocated`
    throw new ApiError(422, 'Invalid', message, {
      kind: 'Service',
      causes: [{ message: problem.detail, field: problem.field }],
    })
  }
  Object.assign(spec, {
    clusterIP: address,
    clusterIPs: [address],
    ipFamilies: ['IPv4'],
    ipFamilyPolicy: 'SingleStack',
  })
}

function freeAddress(prefix: string, taken: Set<string>): string {
  for (let last = 2; last < 255; last++) if (!taken.has(`${prefix}${last}`)) return `${prefix}${last}`
  throw new ApiError(
    500,
    'InternalError',
    `Internal error occurred: failed to allocate a serviceIP: range ${prefix}0/24 is full`,
  )
}
