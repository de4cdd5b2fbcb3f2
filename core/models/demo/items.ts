/** One thing that was said, in either wire format. */
export type Item =
  | { kind: 'system' | 'user'; text: string }
  | { kind: 'assistant'; text: string; calls: { name: string; arguments: string }[] }
  | { kind: 'result'; text: string }
