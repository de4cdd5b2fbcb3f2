import { guardEveryone } from './clean.ts'

const letter = /[\p{L}\p{N}]/u
const lookalike = { '*': '\u2217', _: '\u02cd', '~': '\u223c', '`': '\u02cb' }
/** RFC 3986, 2.3: an address means the same with them. The other signs no address has, as `links.ts` writes them. */
const encoded = { _: '%5F', '~': '%7E' }

/**
 * Slack and WhatsApp have no escape for the signs of their markup, so one that could be read as such is replaced by
 * one that looks like it. Inside a word (`snake_case`) and between spaces (`2 * 3`) it stays, as it means nothing there.
 */
export function disarm(text: string): string {
  return replaceSigns(text, lookalike)
}

/** The same of an address, which is opened as it stands: its signs are written in the other way that an address has. */
export function disarmAddress(address: string): string {
  return replaceSigns(address, encoded)
}

function replaceSigns(text: string, by: Readonly<Record<string, string>>): string {
  return text.replace(/[*_~`]/g, (sign, at: number) => {
    const before = text.charAt(at - 1)
    const after = text.charAt(at + 1)
    if (sign !== '`' && letter.test(before) && letter.test(after)) return sign
    if (sign !== '`' && /\s/.test(before) && /\s/.test(after)) return sign
    return by[sign] ?? sign
  })
}

/** Code in a line, for services that end it at the first backtick. */
export function inlineCode(text: string): string {
  return guardEveryone(text).replaceAll('`', '\u02cb')
}

/** A block of code, which ends at the first three backticks. */
export function blockCode(text: string): string {
  return guardEveryone(text)
    .replace(/`(?=`)|`$/g, '`\u200b')
    .replace(/^`/, '\u200b`')
}
