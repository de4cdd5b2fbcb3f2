import { type EditFileInput, limits, type Performed, type ReadFileInput, type WriteFileInput } from '#core/ipc'
import { wholeStart } from './capture.ts'
import { Refusal } from './refusal.ts'
import { maxFileBytes, type Workspace } from './workspace.ts'

/** The lines wanted, as many as one answer holds; the rest is there to be asked for. */
export function readFile(workspace: Workspace, input: ReadFileInput): Performed {
  const lines = linesOf(text(workspace, input.path))
  const first = input.fromLine - 1
  const wanted = lines.slice(first, input.lines === undefined ? undefined : first + input.lines)
  const kept = fitting(wanted)
  const truncated = kept.length < wanted.length || kept.cut
  const output = {
    content: kept.lines.join('\n'),
    fromLine: input.fromLine,
    lines: kept.length,
    totalLines: lines.length,
  }
  return { ok: true, output, ...(truncated ? { truncated } : {}) }
}

export function writeFile(workspace: Workspace, input: WriteFileInput): Performed {
  const { created } = workspace.write(input.path, input.content)
  return {
    ok: true,
    output: { path: workspace.relative(input.path), bytes: Buffer.byteLength(input.content), created },
  }
}

/** Replaces one piece of text that occurs exactly once: a guess at which of two was meant would be wrong in silence. */
export function editFile(workspace: Workspace, input: EditFileInput): Performed {
  const before = text(workspace, input.path)
  const at = before.indexOf(input.oldText)
  if (at < 0) throw new Refusal('invalid_input', `${input.path}: oldText does not occur`)
  if (before.includes(input.oldText, at + 1))
    throw new Refusal('invalid_input', `${input.path}: oldText occurs more than once; take more of what surrounds it`)
  const after = before.slice(0, at) + input.newText + before.slice(at + input.oldText.length)
  if (Buffer.byteLength(after) > maxFileBytes)
    throw new Refusal('invalid_input', `${input.path}: it would grow beyond ${maxFileBytes} bytes`)
  workspace.write(input.path, after)
  return { ok: true, output: { path: workspace.relative(input.path), line: linesOf(before.slice(0, at)).length } }
}

/** A file as text; bytes that are not text are refused, since they would come back changed. */
function text(workspace: Workspace, path: string): string {
  const { bytes } = workspace.read(path)
  if (bytes.includes(0)) throw new Refusal('invalid_input', `${path}: a binary file`)
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new Refusal('invalid_input', `${path}: not UTF-8 text`, { cause })
  }
}

/** An ending newline ends the last line; it does not begin another. */
function linesOf(content: string): string[] {
  const lines = content.split('\n')
  if (lines.length > 1 && lines.at(-1) === '') lines.pop()
  return lines
}

/** As many whole lines as fit an answer; of a first line that alone is too long, what fits. */
function fitting(lines: string[]): { lines: string[]; length: number; cut: boolean } {
  let bytes = 0
  const count = lines.findIndex((line) => {
    bytes += Buffer.byteLength(line) + 1
    return bytes > limits.outputBytes
  })
  if (count < 0) return { lines, length: lines.length, cut: false }
  if (count > 0) return { lines: lines.slice(0, count), length: count, cut: false }
  const start = wholeStart(Buffer.from(lines[0] ?? ''), limits.outputBytes).toString('utf8')
  return { lines: [start], length: 1, cut: true }
}
