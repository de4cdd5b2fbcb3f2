export interface HistoryMessage {
  role: 'user' | 'assistant'
  content: string
}

/** A message and the run whose turn it is of. */
export interface Said extends HistoryMessage {
  run: string
}

export interface SummaryRow {
  /** uid of the run whose model made it, and that model. */
  run: string
  model: string
  content: string
  /** The run of the last turn that is in it. */
  through: string
  /** Whether something older is in no summary. */
  partial: boolean
}

/** What a run is told of its conversation. */
export interface Fitted {
  /** The newest turns, oldest first, word for word. */
  history: HistoryMessage[]
  /** Whether that is not all. */
  cut: boolean
  /** Of what was said before `history`. */
  summary?: SummaryRow
  /** What is to be summarised, because neither says it. */
  older?: Older
}

export interface Older {
  /** What stands between the summary, where there is one, and `history`, long messages abridged. */
  messages: HistoryMessage[]
  /** Whether something else there was too much even for a summary. */
  partial: boolean
  /** A new summary covers all but so many of the last messages of `history`: what is left has room to grow. */
  keep: number
  /** The run of the last turn that it covers. */
  through: string
}

/** What is given to be summarised: about 24,000 tokens at most together, none of its messages more than a tenth of that. */
const most = { bytes: 96 * 1024, ofOne: 8 * 1024 }

export interface FitOptions {
  summary: SummaryRow | undefined
  maxBytes: number
  /** Whether there are older messages than those. */
  more: boolean
}

/** Decides what of a conversation, newest first, is told word for word, what by its summary, and what needs a new one. */
export function fitHistory(said: readonly Said[], { summary, maxBytes, more }: FitOptions): Fitted {
  const covered = summary ? said.findIndex(({ run }) => run === summary.through) : -1
  const fresh = [...Map.groupBy(covered < 0 ? said : said.slice(0, covered), ({ run }) => run).entries()]
  const beyond = more && covered < 0
  const told = fitting(fresh, maxBytes)
  const known = { history: messages(fresh.slice(0, told)), cut: told < fresh.length || beyond || summary !== undefined }
  const base = { ...known, ...(summary && { summary }) }
  if (told === fresh.length && !beyond) return base
  // What was not even read is behind any number of short messages.
  const kept = Math.min(fitting(fresh.slice(0, told), maxBytes / 2), beyond ? Math.floor(told / 2) : told)
  const through = fresh[kept]?.[0]
  if (through === undefined) return base
  const abridged = fresh.slice(told).map(([run, turn]) => [run, turn.map(abridge)] as const)
  const summarised = fitting(abridged, most.bytes)
  const partial = beyond || summarised < abridged.length
  const older = { messages: messages(abridged.slice(0, summarised)), keep: messages(fresh.slice(0, kept)).length }
  return { ...base, older: { ...older, partial, through } }
}

type Turn = readonly [run: string, messages: readonly Said[]]

/** How many of these turns fitHistory, from the newest on. */
function fitting(turns: readonly Turn[], maxBytes: number): number {
  let bytes = 0
  const first = turns.findIndex(([, turn]) => {
    bytes += turn.reduce((sum, { content }) => sum + Buffer.byteLength(content), 0)
    return bytes > maxBytes
  })
  return first < 0 ? turns.length : first
}

/** Oldest first. */
function messages(turns: readonly Turn[]): HistoryMessage[] {
  return turns.flatMap(([, turn]) => turn.map(({ role, content }) => ({ role, content }))).toReversed()
}

/** The beginning and the end of what is long. */
function abridge(message: Said): Said {
  const { content } = message
  const bytes = Buffer.from(content)
  if (bytes.length <= most.ofOne) return message
  const half = most.ofOne / 2
  // A character that is cut through becomes one that says so.
  const [head, tail] = [bytes.subarray(0, half), bytes.subarray(-half)].map((part) => part.toString())
  return { ...message, content: `${head}\n[... ${bytes.length - 2 * half} bytes left out ...]\n${tail}` }
}
