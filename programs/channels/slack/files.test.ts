import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { beforeEach, describe, expect, test } from 'vitest'
import { shownText, startSlack } from '../../../test/services/slack.ts'
import { carriesFiles, type FileStandIn } from '../files.test-support.ts'
import { connect, connected, inbox, patient, service, signal, slack, useSlack } from './connected.test-support.ts'

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

describe('files in Slack', () => {
  useSlack()

  const bytes = Buffer.from('the file itself')
  const report = { name: 'report.pdf', type: 'application/pdf', bytes }
  const refused = (work: Promise<unknown>) => work.catch(({ refusal, reason }) => [refusal, reason])
  const open = async (ref: string) => String(await buffer(await service.download(ref, { signal: signal() })))
  const share = (place: { chat: string; thread?: string }, key = 'k') =>
    service.sendFile(place, report, { key, signal: signal() })

  beforeEach(async () => {
    void connect()
    await connected()
  })

  test('are opened with the token of the bot, at Slack alone', async () => {
    const kept = slack.file('a b.txt', bytes)
    const outside = slack.file('drive.txt', bytes, { elsewhere: 'https://drive.example.org/x' })
    const files = [kept, outside, { name: 'hidden', mode: 'hidden_by_limit' }, { id: '../x', name: 'odd' }]
    slack.say('U1', slack.direct(0), '', { more: { subtype: 'file_share', files } })
    await expect.poll(() => inbox.length, patient).toBe(1)
    const refs = inbox[0]?.attachments.map(({ ref }) => ref)
    expect(refs).toEqual([kept.id, outside.id, undefined, undefined])
    expect(await open(kept.id)).toBe('the file itself')
    expect(await refused(open(outside.id))).toEqual(['never', 'FileElsewhere'])
    expect(await refused(open('F404'))).toEqual(['never', 'FileGone'])
    slack.scopes.delete('files:read')
    expect(await refused(open(kept.id)), 'and text is said all the same').toEqual(['never', 'MissingScope'])
  })

  test('are uploaded, and shared where the answer stands', async () => {
    const channel = slack.channel(0)
    const root = slack.say('U1', channel, 'begin')
    const id = await share({ chat: channel, thread: root.ts })
    expect(slack.said(channel)).toMatchObject([{ thread_ts: root.ts, files: [{ id, title: 'report.pdf' }] }])
    expect(slack.bytesOf(id)).toEqual(bytes)
    slack.scopes.delete('files:write')
    expect(await refused(share({ chat: slack.direct(0) }))).toEqual(['never', 'MissingScope'])
  })

  test('are shared once, also where Slack did not say that they were, and not uploaded again to wait', async () => {
    const chat = slack.direct(0)
    slack.flood(1)
    expect(await refused(share({ chat }))).toEqual(['later', 'RateLimited'])
    const accepted = slack.swallowAnswer()
    const impatient = new AbortController()
    const first = service.sendFile({ chat }, report, { key: 'k', signal: impatient.signal })
    await accepted
    impatient.abort()
    await expect(first).rejects.toThrow()
    const id = await share({ chat })
    expect(slack.said(chat)).toMatchObject([{ files: [{ id }] }])
    expect(slack.calls.filter(({ method }) => method === 'files.getUploadURLExternal')).toHaveLength(1)
    await share({ chat }, 'another')
    expect(slack.said(chat)).toHaveLength(2)
  })
})
