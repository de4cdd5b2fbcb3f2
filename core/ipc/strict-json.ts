import { limits } from './limits.ts'

/** Why bytes are not the JSON that the contract asks for; the message is shown to whoever wrote them. */
export class NotStrictJson extends Error {
  override readonly name = 'NotStrictJson'
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * The value of `bytes`, if they are UTF-8 without a byte order mark and JSON without repeated keys and not too deep.
 * Throws NotStrictJson otherwise: two readers of one file must never see two different values in it.
 */
export function parseStrictJson(bytes: Uint8Array, maxDepth: number = limits.jsonDepth): unknown {
  let text: string
  try {
    text = decoder.decode(bytes)
  } catch (cause) {
    throw new NotStrictJson('not UTF-8', { cause })
  }
  if (text.startsWith('\ufeff')) throw new NotStrictJson('starts with a byte order mark')
  try {
    checkKeysAndDepth(text, maxDepth)
    return JSON.parse(text)
  } catch (cause) {
    if (cause instanceof NotStrictJson) throw cause
    throw new NotStrictJson('not valid JSON', { cause })
  }
}

/**
 * One pass over the text, before it is parsed: the engine's parser would keep the last of two equal keys in silence.
 * It understands strings and brackets only; whatever else is wrong, JSON.parse refuses.
 */
function checkKeysAndDepth(text: string, maxDepth: number): void {
  /** One element an open bracket: the keys so far of an object, undefined for an array. */
  const open: (Set<string> | undefined)[] = []
  let keyExpected = false
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '"') {
      const end = endOfString(text, at)
      const keys = open.at(-1)
      if (keyExpected && keys) {
        // Parsed, because "a" and "\u0061" are the same key.
        const key: unknown = JSON.parse(text.slice(at, end + 1))
        if (typeof key !== 'string' || keys.has(key)) throw new NotStrictJson('a key is repeated in one object')
        keys.add(key)
      }
      keyExpected = false
      at = end
    } else if (char === '{' || char === '[') {
      open.push(char === '{' ? new Set() : undefined)
      if (open.length > maxDepth) throw new NotStrictJson(`nested deeper than ${maxDepth}`)
      keyExpected = char === '{'
    } else if (char === '}' || char === ']') {
      open.pop()
      keyExpected = false
    } else if (char === ',') {
      keyExpected = open.at(-1) !== undefined
    }
  }
}

/** Position of the quote that closes the string opened at `start`. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++
    else if (text[at] === '"') return at
  }
  throw new NotStrictJson('not valid JSON: a string does not end')
}
