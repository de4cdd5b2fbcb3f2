import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import * as z from 'zod'
import { ClawError, errorMessage } from '#core/errors'
import { type Finding, type Probe, probe } from './probe.ts'

const address = z.string().refine((text) => {
  const url = URL.canParse(`tcp://${text}`) ? new URL(`tcp://${text}`) : undefined
  return url !== undefined && url.port !== '' && url.hostname !== '' && url.pathname === ''
}, 'must be host:port')
const flags = z.object({
  open: z.array(address).min(1).max(16),
  closed: z.array(address).min(1).max(16),
  report: z.string().min(1),
})

const patience = { connectMs: 2_000, attempts: 10, pauseMs: 1_000 } as const

/**
 * What the container of a canary runs: `canary --open HOST:PORT --closed HOST:PORT`, each as often as wanted. The
 * finding goes to standard error and to the file from which a kubelet takes last words. Gives the exit code; throws
 * ClawError `invalid` for wrong flags.
 */
export async function runCanary(
  args: string[],
  how: Pick<Probe, 'connectMs' | 'attempts' | 'pauseMs'> = patience,
): Promise<Finding> {
  const { report, ...targets } = readFlags(args)
  const finding = await probe({ ...targets, ...how })
  await writeFile(report, `${finding.message}\n`)
  return finding
}

function readFlags(args: string[]): z.infer<typeof flags> {
  try {
    const { values } = parseArgs({
      args,
      options: {
        open: { type: 'string', multiple: true },
        closed: { type: 'string', multiple: true },
        report: { type: 'string', default: '/dev/termination-log' },
      },
    })
    return flags.parse(values)
  } catch (cause) {
    const issue = cause instanceof z.ZodError ? cause.issues[0] : undefined
    const why = issue ? `--${issue.path[0]?.toString()}: ${issue.message}` : errorMessage(cause)
    throw new ClawError('invalid', why, { cause })
  }
}
