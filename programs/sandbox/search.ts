import { posix } from 'node:path'
import type { Folder, FolderEntry, ListFilesInput, Performed, SearchFilesInput } from '#core/ipc'
import { matchesGlob } from './glob.ts'
import { Refusal } from './refusal.ts'
import { maxFileBytes, type Workspace } from './workspace.ts'

const most = {
  entries: 2_000,
  matches: 500,
  filesSearched: 20_000,
  perFolder: 10_000,
  depth: 32,
  lineLength: 500,
} as const
/** How long a walk may take, and how long a part of it may keep the event loop to itself. */
const walkMs = 20_000
const sliceMs = 10

/** What is in a folder, by name; with `recursive` also what is below it. */
export async function listFiles(workspace: Workspace, input: ListFilesInput, signal: AbortSignal): Promise<Performed> {
  const entries: { path: string; kind: FolderEntry['kind'] }[] = []
  const walk = new Walk(workspace, signal)
  for await (const { path, kind } of walk.below(input.path, input.recursive)) {
    if (input.glob !== undefined && !matchesGlob(input.glob, path)) continue
    if (entries.length === most.entries) {
      walk.truncated = true
      break
    }
    entries.push({ path, kind })
  }
  return { ok: true, output: { entries }, ...(walk.truncated ? { truncated: true } : {}) }
}

/** The lines that contain a text. Files that are binary or too large are passed over. */
export async function searchFiles(
  workspace: Workspace,
  input: SearchFilesInput,
  signal: AbortSignal,
): Promise<Performed> {
  if (input.text.includes('\n')) throw new Refusal('invalid_input', 'text: must lie within one line')
  const wanted = input.ignoreCase ? input.text.toLowerCase() : input.text
  const matches: { path: string; line: number; text: string }[] = []
  const walk = new Walk(workspace, signal)
  let files = 0
  for await (const { path, kind, folder } of walk.below(input.path, true)) {
    if (kind !== 'file' || (input.glob !== undefined && !matchesGlob(input.glob, path))) continue
    const found = [...matchingLines(folder, path, wanted, input.ignoreCase).take(most.matches + 1 - matches.length)]
    matches.push(...found)
    if (matches.length > most.matches || ++files > most.filesSearched) {
      walk.truncated = true
      break
    }
  }
  return {
    ok: true,
    output: { matches: matches.slice(0, most.matches) },
    ...(walk.truncated ? { truncated: true } : {}),
  }
}

function* matchingLines(folder: Folder, path: string, wanted: string, ignoreCase: boolean) {
  const content = folder.read(posix.basename(path), maxFileBytes, { hardLinks: true })
  if (typeof content === 'string' || content.bytes.includes(0)) return
  const whole = content.bytes.toString('utf8')
  if (!ignoreCase && !whole.includes(wanted)) return
  let line = 0
  for (const text of whole.split('\n')) {
    line++
    if ((ignoreCase ? text.toLowerCase() : text).includes(wanted))
      yield { path, line, text: text.slice(0, most.lineLength) }
  }
}

type Found = FolderEntry & { path: string; folder: Folder }

/** A walk through the workspace that neither follows links, nor goes on for ever, nor keeps others from their turn. */
class Walk {
  /** Set when something was left out. */
  truncated = false
  readonly #workspace: Workspace
  readonly #signal: AbortSignal
  readonly #end = performance.now() + walkMs
  #sliceEnd = performance.now() + sliceMs

  constructor(workspace: Workspace, signal: AbortSignal) {
    this.#workspace = workspace
    this.#signal = signal
  }

  /** Everything in the folder at `path`; `folder` is the one an entry is in, open until the next entry is asked for. */
  async *below(path: string, recursive: boolean): AsyncGenerator<Found> {
    const from = this.#workspace.relative(path)
    yield* this.#in(this.#workspace.openFolder(path), from === '.' ? '' : `${from}/`, recursive ? most.depth : 0)
  }

  /** `depth`: how many folders further down it may go. */
  async *#in(open: Folder, prefix: string, depth: number): AsyncGenerator<Found> {
    using folder = open
    const entries = folder.entries(most.perFolder + 1)
    if (entries.length > most.perFolder) this.truncated = true
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (!(await this.#mayGoOn())) return
      const path = prefix + entry.name
      yield { ...entry, path, folder }
      if (entry.kind !== 'folder' || depth === 0) continue
      const next = folder.openFolder(entry.name)
      if (typeof next !== 'string') yield* this.#in(next, `${path}/`, depth - 1)
    }
  }

  /** Lets others have their turn; false once the time is up. */
  async #mayGoOn(): Promise<boolean> {
    if (performance.now() > this.#end) {
      this.truncated = true
      return false
    }
    if (performance.now() > this.#sliceEnd) {
      await new Promise((resolve) => setImmediate(resolve))
      this.#signal.throwIfAborted()
      this.#sliceEnd = performance.now() + sliceMs
    }
    return true
  }
}
