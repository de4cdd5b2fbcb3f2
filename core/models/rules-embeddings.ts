import { isAbsent, type Json, onlyFields, wrong } from './rules.ts'

/** Fields of OpenAI's `POST /embeddings`; none of them names anything beyond the texts themselves. */
const requestFields = new Set(['model', 'input', 'encoding_format', 'dimensions', 'user'])
/** What OpenAI takes at once. */
const maxTexts = 2_048

/** Throws ClawError `forbidden` for a field nobody has judged, `invalid` for what is no request of embeddings. */
export function checkEmbeddings(body: Json): void {
  onlyFields(body, '', requestFields)
  const texts = Array.isArray(body.input) ? body.input : [body.input]
  if (texts.length === 0 || texts.length > maxTexts) throw wrong('input', `must be 1 to ${maxTexts} texts`)
  // Tokens by their numbers are the words of one model only, and nobody here could read them.
  if (texts.some((text) => typeof text !== 'string' || text === '')) throw wrong('input', 'must be texts')
  const { dimensions, encoding_format: encoding } = body
  if (!isAbsent(dimensions) && !(Number.isSafeInteger(dimensions) && Number(dimensions) > 0))
    throw wrong('dimensions', 'must be a positive integer')
  if (!isAbsent(encoding) && encoding !== 'float' && encoding !== 'base64')
    throw wrong('encoding_format', 'must be float or base64')
}
