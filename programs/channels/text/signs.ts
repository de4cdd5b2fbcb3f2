import { guardEveryone } from './clean.ts'

const letter = /[\p{L}\p{N}]/u
const lookalike: Record<string, string> = { '*': '\u2217', _: '\u02cd', '~': '\u223c', '`': '\u02cb' }

/**
 * Slack and WhatsApp have no escape for the signs of their markup, so one that could be read as such is replaced by
 * one that looks like it. Inside a word (`snake_case`) and between spaces (`2 * 3`) it stays, as it means nothing there.
 */
export function disarm(text: string): string {
  return text.replace(/[*_~`]/g, (sign, at: number) => {
    const before = text.charAt(at - 1)
    const after = text.charAt(at + 1)
    if (sign !== '`' && letter.test(before) && letter.test(after)) return sign
    if (sign !== '`' && /\s/.test(before) && /\s/.test(after)) return sign
    return lookalike[sign] ?? sign
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
