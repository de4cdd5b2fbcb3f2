/** Longer ones are written out beside their text, since two of them would not fit a message. */
const maxHref = 1500

/** The address in its normal form, or nothing where a click would do more than open a page or a letter. */
export function safeHref(href: string): string | undefined {
  const url = URL.canParse(href) ? new URL(href) : undefined
  if (!url || !['http:', 'https:', 'mailto:'].includes(url.protocol)) return undefined
  if (url.username || url.password) return undefined
  // What the URL standard leaves alone, and some service's markup ends an address with.
  const normal = url.href.replace(
    /[|()<>"'`*\\\s]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
  // In the path of a page it calls nobody, but a service that shows the address might think so.
  const quiet = url.protocol === 'mailto:' ? normal : normal.replaceAll('@', '%40')
  return quiet.length <= maxHref ? quiet : undefined
}
