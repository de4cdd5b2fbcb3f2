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

  test('is opened at its CDN alone, and nowhere else', async () => {
    const { url } = discord.file(discord.direct(), 'a.txt', 'text/plain', Buffer.from('a'))
    expect(await new Response(await service.download(url, { signal })).text()).toBe('a')
    expect(await refused(service.download(`${url}0`, { signal }))).toEqual(['never', 'FileGone'])
    const elsewhere = url.replace('127.', '128.')
    expect(await refused(service.download(elsewhere, { signal }))).toEqual(['never', 'FileElsewhere'])
    const { DISCORD_CDN_URL: _, ...usual } = discord.env
    service = new Discord(parseEnvironment(variables, usual))
    expect(await refused(service.download(url, { signal }))).toEqual(['never', 'FileElsewhere'])
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
