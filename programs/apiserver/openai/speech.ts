import type { Outcome, RunEvent } from '#core/journal'

const paragraph = '\n\n'

/**
 * What a client reads of a run, from its events: the text of every step as it comes, a blank line between two, and the
 * result at the end unless it was just said. Calls of tools are the agent's own business.
 */
export class Speech {
  #speaker: string | undefined
  /** What the speaker of now has said. */
  #said = ''
  #silent = true

  /** The text that this event adds; empty where it adds none. */
  hear({ type, data }: RunEvent): string {
    if (type === 'text') return this.#say(`${data.source} ${data.step}`, data.text)
    return type === 'outcome' ? this.#conclude(data) : ''
  }

  #say(speaker: string, text: string): string {
    if (text === '') return ''
    const gap = speaker === this.#speaker || this.#silent ? '' : paragraph
    this.#said = (speaker === this.#speaker ? this.#said : '') + text
    this.#speaker = speaker
    this.#silent = false
    return gap + text
  }

  #conclude({ phase, result = '' }: Outcome): string {
    if (phase !== 'Succeeded' || this.#said.trim() === result.trim()) return ''
    return this.#say('outcome', result)
  }
}
