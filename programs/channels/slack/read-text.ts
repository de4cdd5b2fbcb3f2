/**
 * What a person wrote, from Slack's form of it: names, channels, links and dates are in angle brackets, and the three
 * signs of that grammar escaped. https://docs.slack.dev/messaging/formatting-message-text
 */
export function readText(text: string): string {
  return text
    .replace(/<([^<>|]*)(?:\|([^<>]*))?>/g, (_, what: string, label = '') => readToken(what, label))
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&')
}

function readToken(what: string, label: string): string {
  const rest = what.slice(1)
  if (what.startsWith('@')) return `@${label || rest}`
  if (what.startsWith('#')) return `#${label || rest}`
  if (what.startsWith('!')) return label || `@${rest}`
  return label && label !== what ? `${label} (${what})` : what
}
