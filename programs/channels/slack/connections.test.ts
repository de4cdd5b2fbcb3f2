import { describe, expect, test } from 'vitest'
import { connect, connected, heard, patient, slack, storing, useSlack } from './connected.test-support.ts'

useSlack()

describe('what is heard over Socket Mode', () => {
  test('is acknowledged once it is stored, and comes again otherwise', async () => {
    void connect()
    await connected()
    storing(async () => {
      throw new Error('no bus')
    })
    slack.say('U1', slack.direct(0), 'hold on')
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(slack.pending()).toBe(1)
    storing(async () => {})
    await expect.poll(heard, patient).toEqual(['hold on'])
    await expect.poll(() => slack.pending(), patient).toBe(0)
    expect(slack.badAcks()).toBe(0)
  })

  test('is not lost when Slack renews connections, breaks them, or takes both at once', async () => {
    void connect()
    await connected()
    const said: string[] = []
    for (const end of [() => slack.renew(), () => slack.renew(true), () => slack.drop()]) {
      end()
      for (let n = 0; n < 5; n++) {
        const text = `${said.length}`
        said.push(text)
        slack.say('U1', slack.direct(0), text)
      }
      await expect.poll(() => [...new Set(heard())].sort(), patient).toEqual([...said].sort())
      await connected()
    }
  })

  test('is not lost while Slack lets the app have one connection and no other', async () => {
    slack.spareConnections(1)
    void connect()
    await expect.poll(() => slack.connections(), patient).toBe(1)
    slack.say('U1', slack.direct(0), 'one is enough')
    await expect.poll(heard, patient).toEqual(['one is enough'])
    await connected()
    expect(slack.impatientCalls()).toBe(0)
  })
})

test('Slack says what it refuses a connection for', async () => {
  slack.refuse('account_inactive')
  await expect(connect()).rejects.toMatchObject({ refusal: 'token', reason: 'AccountInactive' })
  slack.refuse('')
  const connection = connect()
  await connected()
  slack.renew(true, 'link_disabled')
  await expect(connection).rejects.toMatchObject({ refusal: 'token', reason: 'SocketModeOff' })
})
