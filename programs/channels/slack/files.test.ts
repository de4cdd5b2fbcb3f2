import { join } from 'node:path'
import { describe } from 'vitest'
import { shownText, startSlack } from '../../../test/services/slack.ts'
import { carriesFiles, type FileStandIn } from '../files.test-support.ts'

/** A thread in a channel would do as well; files know no difference. */
async function standIn(): Promise<FileStandIn> {
  const slack = await startSlack()
  const chat = slack.direct(0)
  return {
    env: slack.env,
    chat: () => chat,
    attach(_, text, { name, bytes, told }) {
      const file = slack.file(name, bytes)
      slack.say('U1', chat, text, { more: { subtype: 'file_share', files: [{ ...file, size: told ?? file.size }] } })
    },
    forgetFiles: () => slack.forgetFiles(),
    shown: () => slack.said(chat).flatMap((message) => shownText(message) || []),
    files: () =>
      slack.said(chat).flatMap(({ files = [] }) =>
        (files as { id: string; title: string }[]).map(({ id, title }) => ({
          name: title,
          bytes: slack.bytesOf(id) ?? Buffer.alloc(0),
        })),
      ),
    swallowAnswer: () => slack.swallowAnswer(),
    outage: (on) => slack.outage(on),
    close: () => slack.close(),
  }
}

describe('Slack', () => {
  carriesFiles({ program: join(import.meta.dirname, 'main.ts'), standIn })
})
