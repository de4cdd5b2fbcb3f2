import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { stringify } from 'yaml'
import type { ClawInstance } from '#core/kinds'
import { allowAll, demoScript, instance } from '../support/objects.ts'
import { botToken, type Chat, chatService, startChat } from './chat.ts'
import type { TestCluster } from './cluster.ts'
import { asBystander, type Findings } from './intruder.ts'
import { attemptsIn, is, refusals } from './isolation.ts'

const selected = ['-l', 'k8sclaw.io/instance=talks,k8sclaw.io/channel=telegram']

/** One bot of one instance, in the pod that its controller made. */
export function channels(current: () => TestCluster): void {
  describe('a channel', () => {
    let chat: Chat | undefined
    beforeAll(async () => {
      const { node } = current()
      if (node) chat = await startChat(node.outside)
    })
    afterAll(() => chat?.close())

    it('trades its identity for the bus, and answers who writes to its bot', async ({ skip }) => {
      const cluster = current()
      if (!chat) return skip('only beside a node of its own is there somebody to talk to')
      const { secret, authRefs } = demoScript(
        'talks',
        stringify({ steps: [{ reply: { text: 'You wrote: {{user}}' } }] }),
      )
      const bot = {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'bot', namespace: 'default' },
        stringData: { TELEGRAM_BOT_TOKEN: botToken, TELEGRAM_API_URL: chatService },
      }
      const telegram = { name: 'telegram', type: 'telegram', secretRef: { name: 'bot' }, access: { mode: 'open' } }
      await cluster.apply(allowAll(), secret, bot, instance('talks', {}, { authRefs, channels: [telegram] }))
      const state = async () =>
        (await cluster.getJson<ClawInstance>('get', 'clawinstance', 'talks')).status?.channels?.[0]?.state
      await expect.poll(state, { timeout: 120_000, interval: 500 }).toBe('Connected')
      const deployment = async () => {
        const { items } = await cluster.getJson<Deployments>('get', 'deployments', ...selected)
        return items.map(({ status }) => status?.readyReplicas)
      }
      await expect.poll(deployment, { timeout: 120_000, interval: 500 }).toEqual([1])
      chat.say('a heron')
      await expect.poll(() => chat?.said().at(-1), { timeout: 120_000, interval: 500 }).toBe('You wrote: a heron')
    })

    it('reaches bus, identity endpoint, names and its service, and nothing else', async ({ skip }) => {
      const cluster = current()
      if (!chat) return skip('only there is a channel')
      const { places, doors } = await attemptsIn(cluster)
      const { hostname: host, port } = new URL(chatService)
      const all = { ...places, ...doors, service: { kind: 'connect', host, port: Number(port) } as const }
      const pod = (await cluster.kubectl(['get', 'pods', ...selected, '-o', 'name'])).trim()
      const probe = ['/usr/local/bin/node', '-e', asBystander(all)]
      const found = JSON.parse(await cluster.kubectl(['exec', pod, '-c', 'channel', '--', ...probe])) as Findings
      expect(found).toEqual({
        ...Object.fromEntries(Object.keys(places).map((name) => [name, is(refusals)])),
        'names of Services': 'answered',
        service: 'connected',
        bus: expect.stringContaining('Authorization Violation') as string,
        identity: 'HTTP 401',
        gateway: is(refusals),
        // Beside a run's agent there is one; beside a channel there is nobody.
        bridge: 'ECONNREFUSED',
      })
      await cluster.kubectl(['delete', 'pod', 'neighbour'])
      await cluster.kubectl(['delete', 'clawinstance', 'talks'])
      const left = async () => (await cluster.kubectl(['get', 'deployments,pods', ...selected, '-o', 'name'])).trim()
      await expect.poll(left, { timeout: 120_000, interval: 500 }).toBe('')
    })
  })
}

interface Deployments {
  items: { status?: { readyReplicas?: number } }[]
}
