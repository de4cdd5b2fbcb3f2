import type { PriceEntry } from './prices.ts'

/**
 * List prices of models that came out until November 2025, in dollars for a million tokens of input and of output, from
 * about the day on which a model came out or got this price. Those of Anthropic are as its pricing page lists them; those
 * of OpenAI were gathered from pages that quote OpenAI's. What is newer, or has changed, is not known here: the
 * operator's own list says so (docs/usage.md).
 */
const published: readonly (readonly [provider: string, model: string, from: string, input: number, output: number])[] =
  [
    // It is computed here, and costs nothing.
    ['demo', 'demo', '2000-01-01', 0, 0],
    ['anthropic', 'claude-3-haiku', '2024-03-13', 0.25, 1.25],
    ['anthropic', 'claude-3-5-haiku', '2024-11-04', 0.8, 4],
    ['anthropic', 'claude-3-7-sonnet', '2025-02-24', 3, 15],
    ['anthropic', 'claude-opus-4', '2025-05-22', 15, 75],
    ['anthropic', 'claude-opus-4-0', '2025-05-22', 15, 75],
    ['anthropic', 'claude-sonnet-4', '2025-05-22', 3, 15],
    ['anthropic', 'claude-sonnet-4-0', '2025-05-22', 3, 15],
    ['anthropic', 'claude-opus-4-1', '2025-08-05', 15, 75],
    ['anthropic', 'claude-sonnet-4-5', '2025-09-29', 3, 15],
    ['anthropic', 'claude-haiku-4-5', '2025-10-15', 1, 5],
    ['anthropic', 'claude-opus-4-5', '2025-11-24', 5, 25],
    ['openai', 'text-embedding-3-small', '2024-01-25', 0.02, 0],
    ['openai', 'text-embedding-3-large', '2024-01-25', 0.13, 0],
    ['openai', 'gpt-4o', '2024-10-02', 2.5, 10],
    // The snapshot before the price went down.
    ['openai', 'gpt-4o-2024-05-13', '2024-05-13', 5, 15],
    ['openai', 'gpt-4o-mini', '2024-07-18', 0.15, 0.6],
    ['openai', 'gpt-4.1', '2025-04-14', 2, 8],
    ['openai', 'gpt-4.1-mini', '2025-04-14', 0.4, 1.6],
    ['openai', 'gpt-4.1-nano', '2025-04-14', 0.1, 0.4],
    ['openai', 'o3', '2025-06-10', 2, 8],
    ['openai', 'o4-mini', '2025-04-16', 1.1, 4.4],
    ['openai', 'gpt-5', '2025-08-07', 1.25, 10],
    ['openai', 'gpt-5-mini', '2025-08-07', 0.25, 2],
    ['openai', 'gpt-5-nano', '2025-08-07', 0.05, 0.4],
    ['openai', 'gpt-5.1', '2025-11-13', 1.25, 10],
  ]

export const builtInPrices: readonly PriceEntry[] = published.map(([provider, model, from, input, output]) => ({
  provider,
  model,
  from,
  inputPerMillion: input,
  outputPerMillion: output,
}))
