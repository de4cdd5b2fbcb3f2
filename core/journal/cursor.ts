import { ClawError } from '#core/errors'

/**
 * Where a reader of a run stands: the stream sequence of the last RUNS entry it was given, and how far into the text
 * of which step. Text that the agent composed itself is counted apart from the model's.
 */
export interface Cursor {
  sequence: number
  step: number
  /** UTF-16 code units of the model's text of this step. */
  offset: number
  /** UTF-16 code units of the agent's own text of this step. */
  agentOffset: number
}

export const startCursor: Cursor = { sequence: 0, step: 0, offset: 0, agentOffset: 0 }

/** `<sequence>.<step>.<offset>`, and a fourth number where the agent composed text itself. */
export function formatCursor({ sequence, step, offset, agentOffset }: Cursor): string {
  return `${sequence}.${step}.${offset}${agentOffset > 0 ? `.${agentOffset}` : ''}`
}

/** Reads what `formatCursor` wrote. Throws `invalid` for anything else. */
export function parseCursor(text: string): Cursor {
  const match = /^(\d{1,15})\.(\d{1,9})\.(\d{1,12})(?:\.(\d{1,12}))?$/.exec(text)
  if (!match) throw new ClawError('invalid', 'after: not the id of an event of this stream', { field: 'after' })
  const [sequence = 0, step = 0, offset = 0, agentOffset = 0] = match.slice(1).map((part) => Number(part ?? 0))
  return { sequence, step, offset, agentOffset }
}
