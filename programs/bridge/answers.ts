import { type AnswerFile, type Folder, limits } from '#core/ipc'
import type { Answer } from '#core/journal'

/** The answer files of input/results: the newest 200, each written at once and never changed by a later call. */
export class Answers {
  readonly #results: Folder
  /** Names in the order they were written. */
  readonly #names: Set<string>

  constructor(results: Folder) {
    this.#results = results
    const there = results.entries(10 * limits.keptAnswers).map((entry) => entry.name)
    // What a bridge that was killed had begun to write.
    for (const name of there) if (name.endsWith('.tmp')) results.remove(name)
    this.#names = new Set(there.filter((name) => name.endsWith('.json')))
  }

  put(id: string, answer: Answer): void {
    const name = `${id}.json`
    const file: AnswerFile = { id, ...answer } as AnswerFile
    this.#names.delete(name)
    // Room first, so that nobody ever counts more of them.
    for (const oldest of this.#names) {
      if (this.#names.size < limits.keptAnswers) break
      this.#results.remove(oldest)
      this.#names.delete(oldest)
    }
    this.#results.write(name, JSON.stringify(file))
    this.#names.add(name)
  }
}
