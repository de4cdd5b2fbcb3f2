import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** How the canary ends; what it found is in its last words. */
export const exitCodes = { isolated: 0, open: 1, inconclusive: 3 } as const

export interface Probe {
  /** Must be reachable, so that a network that lets nothing through is not taken for isolation. */
  open: readonly string[]
  /** Must not be. */
  closed: readonly string[]
  /** How long one attempt may take. */
  connectMs: number
  /** How often each is tried, a second apart: a network takes its time to apply policies to a new pod. */
  attempts: number
  pauseMs: number
}

export interface Finding {
  exitCode: number
  message: string
}

/** Looks at every address by opening a TCP connection, at all of them at once. */
export async function probe({ open, closed, connectMs, attempts, pauseMs }: Probe): Promise<Finding> {
  /** Whether what is wanted was seen at some attempt. */
  const becomes = async (address: string, wanted: boolean) => {
    for (let tried = 1; ; tried++) {
      if ((await reaches(address, connectMs)) === wanted) return true
      if (tried >= attempts) return false
      await sleep(pauseMs)
    }
  }
  const failing = async (addresses: readonly string[], wanted: boolean) => {
    const good = await Promise.all(addresses.map((address) => becomes(address, wanted)))
    return addresses.filter((_, at) => !good[at])
  }
  const [unreached, reached] = await Promise.all([failing(open, true), failing(closed, false)])
  if (reached.length > 0) {
    return { exitCode: exitCodes.open, message: `pods of runs reach ${reached.join(', ')}` }
  }
  if (unreached.length > 0) {
    const message = `pods of runs do not reach ${unreached.join(', ')}, so that nothing is known of the rest`
    return { exitCode: exitCodes.inconclusive, message }
  }
  return { exitCode: exitCodes.isolated, message: `pods of runs reach ${open.join(', ')} and not ${closed.join(', ')}` }
}

/** Whether a TCP connection to `host:port` can be opened. */
export async function reaches(address: string, withinMs: number): Promise<boolean> {
  const { hostname, port } = new URL(`tcp://${address}`)
  const socket = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) })
  try {
    return await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
      socket.setTimeout(withinMs, () => resolve(false))
    })
  } finally {
    socket.destroy()
  }
}
