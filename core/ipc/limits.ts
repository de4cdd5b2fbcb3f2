/** The numbers of the /ipc contract. Sizes in bytes of UTF-8. */
export const limits = {
  /** A file the agent writes: a request, result.json. */
  fileBytes: 512 * 1024,
  /** One line of events.jsonl, its newline left out. */
  eventLineBytes: 64 * 1024,
  /** The text of one answer; what is longer is cut and said to be `truncated`. */
  outputBytes: 256 * 1024,
  /** Calls performed at once; the next is answered `too_many`. */
  callsInFlight: 64,
  /** Answer files kept; older ones are removed. */
  keptAnswers: 200,
  /** Nesting of arrays and objects in a file. */
  jsonDepth: 64,
  /** Folders are looked through this often, whatever the events say. */
  scanMilliseconds: 250,
} as const
