import { errorMessage } from '#core/errors'
import {
  callId,
  type FileContent,
  type Folder,
  faultText,
  firstIssue,
  limits,
  NotStrictJson,
  parseStrictJson,
  type ToolRequest,
  toolRequest,
} from '#core/ipc'

/** What a file of tools/ turned out to be. */
export type RequestFile =
  | { kind: 'request'; request: ToolRequest; content: FileContent }
  | { kind: 'refused'; why: string }
  /** Gone, or still being written. */
  | { kind: 'later' }

/** What is not JSON may still be being written, by one who does not rename: it is looked at again until this old. */
const settledMs = 500

/** A writer's temporary names, which it renames when the file is whole. */
export function isTemporary(name: string): boolean {
  return name.startsWith('.') || name.endsWith('.tmp')
}

/** The id in the name of a request file, or undefined where it is no such name. */
export function idOf(name: string): string | undefined {
  const id = name.endsWith('.json') ? name.slice(0, -5) : ''
  return callId.safeParse(id).success ? id : undefined
}

/** Reads one request, once. `now` in milliseconds since the epoch. */
export function readRequest(tools: Folder, name: string, now: number): RequestFile {
  const content = tools.read(name, limits.fileBytes)
  if (content === 'absent') return { kind: 'later' }
  if (typeof content === 'string') return { kind: 'refused', why: faultText[content] }
  try {
    const parsed = toolRequest.safeParse(parseStrictJson(content.bytes))
    if (!parsed.success) return { kind: 'refused', why: firstIssue(parsed.error) }
    const request = parsed.data
    if (request.id !== idOf(name)) return { kind: 'refused', why: 'id: not the one in the file name' }
    if (isReserved(request)) return { kind: 'refused', why: 'id and tool: these words are for model requests' }
    return { kind: 'request', request, content }
  } catch (thrown) {
    // Either way: the clock of files is finer than ours, so that one written just now may seem to come from the future.
    const age = now - content.changedMs
    if (thrown instanceof NotStrictJson && Math.abs(age) < settledMs) return { kind: 'later' }
    return { kind: 'refused', why: errorMessage(thrown) }
  }
}

/** Model requests stand in the same record under these; an agent must not be able to write what looks like one. */
function isReserved({ id, tool }: ToolRequest): boolean {
  return /^(model|count)-\d+$/.test(id) || tool === 'model' || tool === 'count_tokens'
}
