import type { AgentRunSpec, ClawInstance } from '#core/kinds'

/**
 * The user on whose behalf a run that nobody's run asked for is: who created it, or the one person of a direct chat, by
 * the type and the name of the channel and the id that the service never gives to anybody else. In a group there is none,
 * for what one says there all the others would hear.
 */
export function askingUser({ spec }: ClawInstance, origin: AgentRunSpec['origin']): string | undefined {
  if (origin?.kind === 'user') return origin.detail
  if (origin?.kind !== 'channel' || !origin.direct) return undefined
  const channel = spec.channels?.find(({ name }) => origin.detail.startsWith(`${name}/`))
  return channel && `${channel.type}:${origin.detail}`
}
