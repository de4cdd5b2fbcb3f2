/**
 * Closes what a text that is still being written has left open, so that a preview does not show the signs of markup
 * that a moment later are gone. A fence needs nothing: it reaches to the end as it is.
 */
export function finish(markdown: string): string {
  const lines = markdown.split('\n')
  let fence: string | undefined
  let start = 0
  lines.forEach((line, i) => {
    const marker = line.match(/^ {0,3}(`{3,}|~{3,})/)?.[1]
    if (marker && fence === undefined) fence = marker
    else if (marker?.startsWith(fence ?? '') && /^\s*[`~]+\s*$/.test(line)) fence = undefined
    if (line.trim() === '' || marker) start = i + 1
  })
  if (fence !== undefined) {
    // The beginning of the fence's own end.
    const last = lines.at(-1)?.trim() ?? ''
    return last !== '' && fence.startsWith(last) ? lines.slice(0, -1).join('\n') : markdown
  }
  return [...lines.slice(0, start), closeInline(lines.slice(start).join('\n'))].join('\n')
}

function closeInline(block: string): string {
  const text = block.replace(/!?\[([^\][\n]*)\]\([^()\s]*$/, '$1').replace(/(?<=^|\s)[*_~`[]+$|(?<!\*)\*$/, '')
  const open: string[] = []
  let code: string | undefined
  for (const { 0: sign, index } of text.matchAll(/\\.|`+|\*\*|\*|~~/g)) {
    if (sign.startsWith('\\')) continue
    if (sign.startsWith('`')) {
      if (code === undefined) code = sign
      else if (code === sign) code = undefined
      continue
    }
    if (code !== undefined) continue
    const before = text.charAt(index - 1)
    const after = text.charAt(index + sign.length)
    if (open.includes(sign) && /\S/.test(before)) open.length = open.lastIndexOf(sign)
    else if (/\S/.test(after)) open.push(sign)
  }
  // A code span may hold anything, so what was opened before it is closed behind it.
  const signs = [...(code === undefined ? [] : [code]), ...open.reverse()]
  return signs.length === 0 ? text : text.trimEnd() + signs.join('')
}
