import * as z from 'zod'
import { ClawError } from '#core/errors'
import { builtInPrices } from './price-list.ts'

/** Dollars for a million tokens, to the millionth: `2.5` or `"0.075"`. */
const dollars = z
  .union([z.number(), z.string().regex(/^\d{1,6}(\.\d{1,6})?$/, 'must be dollars, such as 2.5')])
  .transform(Number)
  .pipe(z.number().min(0).max(100_000))

const priceEntry = z.strictObject({
  provider: z.string().min(1).max(63),
  model: z.string().min(1).max(256),
  /** The first day (UTC) on which this was the price. */
  from: z.iso.date(),
  inputPerMillion: dollars,
  outputPerMillion: dollars,
})
const priceList = z.array(priceEntry).max(10_000)

/** What a model costs from a day on, in dollars for a million tokens. */
export type PriceEntry = z.output<typeof priceEntry>

/** A model that the price list of this release knows. */
export interface PricedName {
  provider: string
  model: string
}

/** Tokens of one model on one day. */
export interface PricedUsage extends PricedName {
  /** As `2026-01-31`, UTC. */
  day: string
  inputTokens: number
  outputTokens: number
}

/** A snapshot's date at the end of a model's name: `-20250929` or `-2025-04-14`. */
const snapshot = /-(\d{8}|\d{4}-\d{2}-\d{2})$/

/**
 * What models cost, by day. Entries of the operator replace all that the built-in list says of the same model. A price is
 * that of tokens which no cache and no batch made cheaper.
 */
export class PriceTable {
  readonly #byModel = new Map<string, PriceEntry[]>()

  constructor(own: readonly PriceEntry[] = []) {
    const replaced = new Set(own.map(keyOf))
    for (const entry of [...builtInPrices.filter((one) => !replaced.has(keyOf(one))), ...own]) {
      const entries = this.#byModel.get(keyOf(entry))
      if (entries) entries.push(entry)
      else this.#byModel.set(keyOf(entry), [entry])
    }
    for (const entries of this.#byModel.values()) entries.sort((a, b) => (a.from < b.from ? 1 : -1))
  }

  /** What that many tokens cost on that day, in millionths of a dollar, rounded; undefined where the price is not known. */
  costMicroUSD({ day, inputTokens, outputTokens, ...name }: PricedUsage): number | undefined {
    const price = this.#entriesOf(name)?.find(({ from }) => from <= day)
    if (!price) return undefined
    const exact =
      BigInt(inputTokens) * micro(price.inputPerMillion) + BigInt(outputTokens) * micro(price.outputPerMillion)
    return Number((exact + 500_000n) / 1_000_000n)
  }

  /** The name under which the price stands: the model's own, or without the date of a snapshot. */
  nameOf({ provider, model }: PricedName): PricedName | undefined {
    const [entry] = this.#entriesOf({ provider, model }) ?? []
    return entry && { provider: entry.provider, model: entry.model }
  }

  #entriesOf({ provider, model }: PricedName): PriceEntry[] | undefined {
    const plain = model.replace(snapshot, '')
    return this.#byModel.get(keyOf({ provider, model })) ?? this.#byModel.get(keyOf({ provider, model: plain }))
  }
}

/** The operator's own prices, from a document that has been parsed. Throws `invalid`, naming the first wrong place. */
export function readPrices(document: unknown): PriceEntry[] {
  const parsed = priceList.safeParse(document)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const field = issue?.path.join('.') || 'prices'
  throw new ClawError('invalid', `${field}: ${issue?.message}`, { field })
}

const released = new PriceTable()

/** The model as the list of this release names it, or undefined: one of a known few, whoever asks. */
export function pricedName(provider: string, model: string): PricedName | undefined {
  return released.nameOf({ provider, model })
}

function keyOf({ provider, model }: PricedName): string {
  return JSON.stringify([provider, model])
}

/** Dollars for a million tokens as millionths of a dollar for a million tokens. */
function micro(perMillion: number): bigint {
  return BigInt(Math.round(perMillion * 1_000_000))
}
