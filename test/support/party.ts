/** People who write numbered messages to a bot, and the account of what came back to them. */
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'
import type { Drilled } from './drilled.ts'

const words = Array.from({ length: 40 }, (_, at) => `word${at}`).join(' ')

/** Of the demo model: every answer repeats the numbers of what it answers; one that takes long grows before it is whole. */
export const script = stringify({
  steps: [
    { when: { user: '*slowly*' }, reply: { text: `Let me see. ${words} That was: {{user}} Done.`, delayMs: 60 } },
    { reply: { text: 'That was: {{user}} Done.' } },
  ],
})

export interface Talk {
  /** From 0 to 1: how many of the messages have an answer that grows before it is whole. */
  slow: number
  /** What is held up comes at once when it can, and more at once than a sender may write is not taken. */
  most: number
}

/** What a person has seen: `twice` are messages that repeat one, and beginnings of answers that stand elsewhere. */
export interface Account {
  /** The numbers that were answered, in the order of the answers. */
  answered: number[]
  lost: number[]
  twice: number
  /** Messages about what others have written. */
  foreign: string[]
  /** What the platform said itself. */
  notices: string[]
}

export class Person {
  readonly service: Drilled
  readonly #n: number
  readonly #tag: string
  #written = 0

  /** `tag` is nobody else's, and of letters. */
  constructor(service: Drilled, n: number, tag: string) {
    this.service = service
    this.#n = n
    this.#tag = `${tag}${n}x`
  }

  get written(): number {
    return this.#written
  }

  write(how = ''): void {
    this.service.say(this.#n, `${this.#tag}${++this.#written} ${how}`.trim())
  }

  /** Writes several, of which the newest may arrive first; resolves when all are on their way. */
  async writeAtOnce(count: number): Promise<void> {
    await this.service.sayAtOnce(
      this.#n,
      Array.from({ length: count }, () => `${this.#tag}${++this.#written}`),
    )
  }

  /**
   * Writes now and then until the signal aborts or it is enough: no faster than a sender may. `random` gives from 0 to 1.
   */
  async talk(signal: AbortSignal, random: () => number, { slow, most }: Talk): Promise<void> {
    for (let said = 0; said < most && !signal.aborted; said++) {
      this.write(random() < slow ? 'slowly' : '')
      await sleep(3_000 + random() * 2_000, undefined, { signal }).catch(() => {})
    }
  }

  account(): Account {
    const texts = this.service.said(this.#n)
    const unlike = texts.filter((text, at) => texts.indexOf(text) === at)
    const begun = unlike.filter((text) => /^(?:Let me see|That was)/.test(text))
    const whole = begun.filter((text) => text.endsWith('Done.'))
    const answered = whole.flatMap((text) => this.#numbersIn(text))
    const all = Array.from({ length: this.#written }, (_, at) => at + 1)
    return {
      answered,
      lost: all.filter((number) => !answered.includes(number)),
      twice: texts.length - unlike.length + begun.length - whole.length,
      foreign: begun.filter((text) => (text.match(/[a-z]{2}\d+x\d/g) ?? []).some((tag) => !tag.startsWith(this.#tag))),
      notices: unlike.filter((text) => !begun.includes(text)),
    }
  }

  #numbersIn(text: string): number[] {
    return [...text.matchAll(new RegExp(`\\b${this.#tag}(\\d+)\\b`, 'g'))].map(([, number]) => Number(number))
  }
}
