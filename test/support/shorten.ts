/** A file that goes through an agent: a script of the demo model, and what comes of it. */

/** Steps for who sends `notes.txt` with the words "shorten this". */
export const shorten = [
  {
    when: { user: '*shorten this*', turns: 0, tools: ['exec', 'send_file'] },
    reply: { toolCalls: [{ name: 'exec', arguments: { script: 'head -n 1 attachments/1-notes.txt > short.txt' } }] },
  },
  {
    when: { user: '*shorten this*', turns: 1 },
    reply: { toolCalls: [{ name: 'send_file', arguments: { path: 'short.txt' } }] },
  },
  { when: { user: '*shorten this*' }, reply: { text: 'Here it is.' } },
]
export const notes = Buffer.from('first line\nsecond line\n')
/** What is handed over, as names and texts. */
export const shortened = [['short.txt', 'first line\n']]
