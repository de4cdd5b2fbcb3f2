import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { maxText } from '#core/channels'
import { replyText, waitsSentence } from './sentences.ts'

/** The reasons that a page has in the first column of the table behind a heading. */
function reasonsIn(page: string, heading: string): string[] {
  const text = readFileSync(join(import.meta.dirname, '../../../docs', page), 'utf8')
  const [, behind = ''] = text.split(`\n## ${heading}\n`)
  const [section = ''] = behind.split('\n## ')
  return section.split('\n').flatMap((row) => {
    const [, first = ''] = row.match(/^\| (`.*?) \|/) ?? []
    return [...first.matchAll(/`([A-Z]\w+)`/g)].map(([, reason = '']) => reason)
  })
}
const name = 'helper-chat-1f2e'

describe('the end of a run is told in one sentence, with its name and in plain words', () => {
  const ends = [...reasonsIn('runs.md', 'The end'), ...reasonsIn('policy.md', 'What is refused before a run starts')]
  const told = ends.filter((reason) => !['Completed', 'AgentError', 'Cancelled'].includes(reason))

  test('for each reason that the pages know', () => {
    expect(told.length).toBeGreaterThan(25)
    for (const reason of told) {
      const text = replyText(name, { phase: 'Failed', reason, error: 'pod 10.0.0.3 said: no' })
      expect(text, reason).toMatch(new RegExp(`^Sorry, run ${name} failed: [a-z][^\\n]*\\.$`))
      expect(text, reason).not.toContain('reason')
      expect(text, reason).not.toContain('10.0.0.3')
    }
  })

  test('word for word', () => {
    const texts = [
      [{ phase: 'TimedOut', reason: 'DeadlineExceeded' }, `Sorry, run ${name} took too long: its time was over.`],
      [{ phase: 'Failed', reason: 'StartDeadline' }, `Sorry, run ${name} failed: it could not be started in time.`],
      [{ phase: 'Failed', reason: 'NoResult' }, `Sorry, run ${name} failed: the agent ended without an answer.`],
      [
        { phase: 'Failed', reason: 'ModelNotAllowed' },
        `Sorry, run ${name} failed: the rules here do not allow what it needs (ModelNotAllowed).`,
      ],
      [
        { phase: 'Failed', reason: 'AgentError', error: 'No such page.\nat x' },
        `Sorry, run ${name} failed: No such page.`,
      ],
      [{ phase: 'Failed', reason: 'toString' }, `Sorry, run ${name} failed: reason toString.`],
      [{ phase: 'Failed' }, `Sorry, run ${name} failed: reason unknown.`],
      [{ phase: 'Cancelled', reason: 'Cancelled' }, `Run ${name} was stopped.`],
      [{ phase: 'Succeeded', reason: 'Completed', result: ' \n' }, `Run ${name} is done, and said nothing.`],
    ] as const
    for (const [outcome, text] of texts) expect(replyText(name, outcome)).toBe(text)
  })

  test('and a long answer ends with where the rest of it is, cut between characters', () => {
    for (const shift of ['', 'x']) {
      const text = replyText(name, { phase: 'Succeeded', result: shift + '😀'.repeat(maxText) })
      expect(text.length).toBeLessThanOrEqual(maxText)
      expect(text.isWellFormed()).toBe(true)
      expect(text.endsWith(`in the record of run ${name}]`)).toBe(true)
    }
  })
})

test('a run that waits is told with what it waits for', () => {
  const begins = `It begins by itself, as run ${name}.`
  expect(waitsSentence(name, 'Queued')).toBe(`This has to wait: other work is ahead of it. ${begins}`)
  expect(waitsSentence(name, 'SessionBusy')).toBe(
    `This has to wait: an earlier one of this conversation is not done. ${begins}`,
  )
  for (const reason of reasonsIn('runs.md', 'Pending').filter((one) => !['Queued', 'SessionBusy'].includes(one)))
    expect(waitsSentence(name, reason)).toBe(
      `This has to wait: something that it needs is not there yet (${reason}). ${begins}`,
    )
})
