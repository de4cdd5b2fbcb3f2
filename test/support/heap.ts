/** How much memory a test's own code holds: what a garbage collection leaves, in bytes. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

export function heldBytes(): number {
  collect()
  return process.memoryUsage().heapUsed
}
