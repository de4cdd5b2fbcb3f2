import { readFileSync } from 'node:fs'
import { ClawError } from '#core/errors'

/**
 * Whom a client believes: the authorities in `caFile`, which is read again for each connection, or those in `ca`, both
 * PEM and as many as there are. Without either, those of the system.
 */
export interface Trust {
  caFile?: string
  ca?: string
}

/** The PEM of those authorities, or undefined for the system's. Throws `unavailable` where the file cannot be read. */
export function authoritiesOf({ caFile, ca }: Trust): string | undefined {
  if (caFile === undefined) return ca
  try {
    return readFileSync(caFile, 'utf8')
  } catch (cause) {
    throw new ClawError('unavailable', `the authorities in ${caFile} cannot be read`, { cause })
  }
}
