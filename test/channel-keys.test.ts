import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { ChannelType } from '#core/kinds'
import { variables as discord } from '../programs/channels/discord/settings.ts'
import { variables as slack } from '../programs/channels/slack/settings.ts'
import { variables as telegram } from '../programs/channels/telegram/settings.ts'
import { variables as whatsapp } from '../programs/channels/whatsapp/settings.ts'
import { secretKeys } from '../programs/controller/resources/channel.ts'

const programs: Record<ChannelType, { shape: object }> = { telegram, slack, discord, whatsapp }

test.each(Object.entries(programs))(
  'what the program of %s reads is what its pod is given of the Secret, and what its page lists',
  (type, { shape }) => {
    const { required, optional } = secretKeys[type as ChannelType]
    const reads = Object.keys(shape).sort()
    expect([...required, ...optional].sort()).toEqual(reads)
    const page = readFileSync(`docs/channels/${type}.md`, 'utf8')
    expect([...page.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, key]) => key).sort()).toEqual(reads)
  },
)
