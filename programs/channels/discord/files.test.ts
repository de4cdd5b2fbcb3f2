import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseEnvironment } from '#core/settings'
import { type DiscordService, startDiscord } from '../../../test/services/discord.ts'
import { carriesFiles, type FileStandIn } from '../files.test-support.ts'
import { Discord } from './service.ts'
import { variables } from './settings.ts'

async function standIn(): Promise<FileStandIn> {
  const discord = await startDiscord()
  const [by, channel] = [discord.user('Ada'), discord.direct()]
  // Who is not connected is told of nothing.
  let turn: Promise<unknown> = Promise.resolve()
  const connected = async () => {
    while (discord.gateway.connected() === 0) await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return {
    env: discord.env,
    chat: () => channel.id,
    attach(_, text, { name, type, bytes, told }) {
      const file = discord.file(channel, name, type, bytes)
      const attachments = [{ ...file, size: told ?? file.size }]
      turn = turn.then(connected).then(() => discord.say(by, channel, text, { attachments }))
    },
    forgetFiles: discord.forgetFiles,
    shown: (id) => discord.said({ id }).flatMap(({ content }) => content || []),
    files: (id) =>
      discord
        .said({ id })
        .flatMap(({ attachments }) =>
          attachments.map((file) => ({ name: file.filename, bytes: discord.bytesOf(file) ?? Buffer.alloc(0) })),
        ),
    swallowAnswer: discord.swallowAnswer,
    outage: discord.outage,
    close: discord.close,
  }
}

describe('Discord', () => {
  carriesFiles({ program: join(import.meta.dirname, 'main.ts'), standIn })
})

describe('a file of Discord', () => {
  const signal = new AbortController().signal
  const report = { name: 'report.pdf', type: 'application/pdf', bytes: Buffer.from('%PDF-1.7 report') }
  let discord: DiscordService
  let service: Discord
  beforeEach(async () => {
    discord = await startDiscord()
    service = new Discord(parseEnvironment(variables, discord.env))
  })
  afterEach(() => discord.close())
  const refused = (work: Promise<unknown>) => work.catch(({ refusal, reason }) => [refusal, reason])

  /** A message with a file, and by what the bot finds that again. */
  function attached(text: string, url?: string) {
    const channel = discord.direct()
    const file = discord.file(channel, 'a.txt', 'text/plain', Buffer.from(text))
    const { id } = discord.say(discord.user('Ada'), channel, 'look', {
      attachments: [{ ...file, url: url ?? file.url }],
    })
    return { channel, id, url: file.url, ref: `${channel.id}/${id}/${file.id} ${url ?? file.url}` }
  }
  const open = async (ref: string) => await new Response(await service.download(ref, { signal })).text()
  const asked = () => discord.calls.filter(({ method, path }) => method === 'GET' && /\/messages\/\d+$/.test(path))

  test('is opened at its CDN alone, and nowhere else', async () => {
    const { ref, url } = attached('a')
    expect(await open(ref)).toBe('a')
    expect(await refused(service.download(url, { signal })), 'an address alone').toEqual(['never', 'FileGone'])
    const elsewhere = attached('a', url.replace('127.', '128.')).ref
    expect(await refused(service.download(elsewhere, { signal }))).toEqual(['never', 'FileElsewhere'])
    expect(asked()).toEqual([])
    const { DISCORD_CDN_URL: _, ...usual } = discord.env
    service = new Discord(parseEnvironment(variables, usual))
    expect(await refused(service.download(ref, { signal }))).toEqual(['never', 'FileElsewhere'])
  })

  test('of which the address holds no more is opened at the one that its message has now', async () => {
    const { ref, channel, id } = attached('still there')
    discord.expireFiles()
    expect(await open(ref)).toBe('still there')
    expect(asked()).toHaveLength(1)
    expect(await refused(service.download(ref.replace(/\/\d+ /, '/1 '), { signal }))).toEqual(['never', 'FileGone'])
    discord.remove(channel, id)
    expect(await refused(service.download(ref, { signal }))).toEqual(['never', 'FileGone'])
    discord.outage(true)
    expect(await service.download(ref, { signal }).catch((error) => error.retryable)).toBe(true)
  })

  test('is posted once under one key, also where nobody heard that it was', async () => {
    const channel = discord.direct()
    const send = (key: string) => service.sendFile({ chat: channel.id }, report, { key, replyTo: undefined, signal })
    const [first, again] = [await send('one'), await send('one')]
    expect(again).toBe(first)
    await send('two')
    expect(discord.said(channel)).toHaveLength(2)
    expect(discord.said(channel)[0]).toMatchObject({ id: first, content: '', flags: 4 })
  })

  test('that Discord finds too large is given up', async () => {
    const place = { chat: discord.direct().id }
    const large = { ...report, bytes: Buffer.alloc(10 * 1024 * 1024 + 1) }
    const options = { key: 'k', replyTo: undefined, signal }
    expect(await refused(service.sendFile(place, large, options))).toEqual(['never', 'FileTooBig'])
  })
})
