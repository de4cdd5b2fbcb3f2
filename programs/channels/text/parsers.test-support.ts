/** Readers of what Slack, Discord and WhatsApp take, for tests: they give the text that a person sees, or throw. */

/** Text of Slack's mrkdwn; throws for what is not escaped and for anything between angle brackets but a plain link. */
export function readSlack(mrkdwn: string): string {
  return readLines(mrkdwn, { ownLines: true, escapes: false, code: unescapeHtml, line })

  function line(line: string): string {
    if (line.includes('`')) throw new Error(`a backtick alone: ${line}`)
    const withLinks = line.replace(/<([^<>]*)>/g, (_, inside: string) => {
      const [, url, label] = inside.match(/^((?:https?|mailto):[^|]*)\|([\s\S]+)$/) ?? []
      if (url === undefined || label === undefined) throw new Error(`not a link: ${inside}`)
      return label
    })
    if (/[<>]/.test(withLinks)) throw new Error(`not escaped: ${line}`)
    if (/&(?!amp;|lt;|gt;)/.test(withLinks)) throw new Error(`not escaped: ${line}`)
    return unescapeHtml(withoutSigns(withLinks))
  }
}

export function readWhatsapp(text: string): string {
  return readLines(text, { ownLines: false, escapes: false, code: (code) => code, line })

  function line(line: string): string {
    if (line.includes('`')) throw new Error(`a backtick alone: ${line}`)
    return withoutSigns(line)
  }
}

/** Text of Discord's Markdown; throws for a mention, a heading, a quote or a spoiler that is not escaped. */
export function readDiscord(markdown: string): string {
  return readLines(markdown, { ownLines: true, escapes: true, code: (code) => code, line })

  function line(line: string): string {
    if (/^\s*(?:#{1,3} |-# |[-+*] |>)/.test(line)) throw new Error(`means something at the start of a line: ${line}`)
    let out = ''
    const open: string[] = []
    for (let i = 0; i < line.length; ) {
      const rest = line.slice(i)
      const link = rest.match(/^\]\(<(?:https?|mailto):[^<>\s]*>\)/)?.[0]
      const sign = rest.match(/^(?:\*\*|\*|~~)/)?.[0]
      if (rest.startsWith('\\')) {
        out += rest.charAt(1)
        i += 2
      } else if (link) {
        if (open.pop() !== '[') throw new Error(`link in disorder: ${line}`)
        i += link.length
      } else if (rest.startsWith('[')) {
        open.push('[')
        i += 1
      } else if (sign) {
        // Three stars close what was opened last.
        const last = open.at(-1)
        const taken = rest.startsWith('***') && last === '*' ? '*' : sign
        if (last === taken) open.pop()
        else open.push(taken)
        i += taken.length
      } else {
        if (/^[<|_`\]]/.test(rest)) throw new Error(`not escaped: ${rest}`)
        out += rest.charAt(0)
        i += 1
      }
    }
    if (open.length > 0) throw new Error(`left open: ${open.join(' ')} in ${line}`)
    return out
  }
}

interface Dialect {
  /** Whether a fence stands on lines of its own. */
  ownLines: boolean
  /** Whether a backslash takes the meaning from a backtick. */
  escapes: boolean
  code(text: string): string
  line(text: string): string
}

/** Takes fences and code out, reads the rest line by line, and puts the code back as it stands. */
function readLines(text: string, dialect: Dialect): string {
  const held: string[] = []
  const hold = (code: string) => `\ue000${String.fromCharCode(0xe100 + held.push(dialect.code(code)) - 1)}`
  const parts = text.split('```')
  if (parts.length % 2 === 0) throw new Error('a fence is not closed')
  return parts
    .map((part, i) => {
      if (i % 2 === 0) return part
      if (!dialect.ownLines) return hold(part)
      const code = part.match(/^[\w+#.-]*\n([\s\S]*)\n$/)?.[1]
      if (code === undefined) throw new Error('a fence is not on lines of its own')
      return hold(code)
    })
    .join('')
    .replace(
      dialect.escapes ? /\\[\s\S]|`` (.+?) ``|`([^`\n]+)`/g : /`` (.+?) ``|`([^`\n]+)`/g,
      (whole, two?: string, one?: string) => ((two ?? one) === undefined ? whole : hold(two ?? one ?? '')),
    )
    .split('\n')
    .map((line) => dialect.line(line.replace(/^> /, '')))
    .join('\n')
    .replace(/\ue000(.)/g, (_, c: string) => held[c.charCodeAt(0) - 0xe100] ?? '')
}

/** Takes signs off words as these services do: at the edge of a word, in pairs, on one line. */
function withoutSigns(line: string): string {
  const signs = ['*', '_', '~']
  const open: string[] = []
  let out = ''
  for (let i = 0; i < line.length; i++) {
    const c = line.charAt(i)
    const outer = line.charAt(i - 1)
    const next = line.charAt(i + 1)
    const word = /[\p{L}\p{N}]/u
    const inWord = word.test(outer) && word.test(next)
    const alone = !/\S/.test(outer) && !/\S/.test(next)
    if (!signs.includes(c) || inWord || alone) out += c
    else if (open.at(-1) === c && /\S/.test(outer)) open.pop()
    else if (open.includes(c)) throw new Error(`signs overlap: ${line}`)
    else if (/\S/.test(next)) open.push(c)
    else throw new Error(`opens before a space: ${line}`)
  }
  if (open.length > 0) throw new Error(`left open: ${open.join(' ')} in ${line}`)
  return out
}

function unescapeHtml(text: string): string {
  return text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')
}
