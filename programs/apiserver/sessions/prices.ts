import { readFileSync, statSync } from 'node:fs'
import { parse } from 'yaml'
import { ClawError, errorMessage } from '#core/errors'
import { PriceTable, readPrices } from '#core/models'
import type { Logger } from '#core/telemetry'

const maxBytes = 1024 * 1024

/**
 * The prices of the release with the operator's own from a file, which may come, change and go while the program runs: a
 * ConfigMap is a file that does. One that cannot be read is said in the log, and the prices before it stay in force.
 */
export class Prices {
  readonly #file: string | undefined
  readonly #log: Logger
  #table = new PriceTable()
  #seen = ''

  constructor(file: string | undefined, log: Logger) {
    this.#file = file
    this.#log = log
  }

  /** The prices in force at this moment. */
  get table(): PriceTable {
    if (this.#file !== undefined) this.#look(this.#file)
    return this.#table
  }

  #look(file: string): void {
    // A ConfigMap is changed by turning a link to another folder: the file has another inode then.
    const stat = statSync(file, { throwIfNoEntry: false })
    const seen = stat ? `${stat.ino}/${stat.mtimeMs}/${stat.size}` : ''
    if (seen === this.#seen) return
    this.#seen = seen
    try {
      if (stat && stat.size > maxBytes) throw new ClawError('too_large', `larger than ${maxBytes} bytes`)
      this.#table = new PriceTable(stat ? readPrices(parse(readFileSync(file, 'utf8'))) : [])
      this.#log.info({ file, present: stat !== undefined }, 'prices read')
    } catch (error) {
      this.#log.error({ file, error: errorMessage(error) }, 'prices not understood, those before stay in force')
    }
  }
}
