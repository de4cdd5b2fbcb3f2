/**
 * The words of models: the two public wire formats, what of a request is let through to a provider, what a reply says
 * and costs, what models cost, and `demo`, a deterministic model that needs no provider. It promises that what it lets through names
 * nothing beyond the model itself, and that reading a reply never changes it; it refuses to open a connection, to hold
 * a key, or to wait.
 */
export { builtInDemo } from './demo/built-in.ts'
export { demoEmbeddings } from './demo/embeddings.ts'
export { type DemoPiece, demoReply, demoTokens } from './demo/reply.ts'
export { type DemoScript, parseDemoScript } from './demo/script.ts'
export { credentialHeaders, type IncomingHeaders, replyHeaders, requestHeaders } from './headers.ts'
export { ReplyMeter } from './meter.ts'
export { type PricedName, type PricedUsage, type PriceEntry, PriceTable, pricedName, readPrices } from './prices.ts'
export {
  type ModelRequest,
  maxRequestBytes,
  readEmbeddingsRequest,
  readModelRequest,
  writeModelRequest,
} from './request.ts'
export { demoModel, formatsOf, providerError, type TokenUsage, type WireFormat } from './wire.ts'
