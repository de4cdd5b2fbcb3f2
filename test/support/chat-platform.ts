/** A whole platform with the instance `helper`, whose channels reach stand-ins of their services and let everybody in. */
import { expect, vi } from 'vitest'
import { stringify } from 'yaml'
import type { ClawInstance } from '#core/kinds'
import { allowAll, demoScript, instance } from './objects.ts'
import { startTestPlatform, type TestPlatform } from './platform.ts'

export interface ChatChannel {
  name: string
  type: string
  /** What its Secret holds. */
  secret: Record<string, string>
}

export interface ChatPlatform extends TestPlatform {
  /** What the status says of a channel: its state and its reason. */
  state(channel: string): Promise<string | undefined>
  /** Where an Ingress would send what the service of a channel calls. */
  webhook(channel: string): Promise<string>
}

/** Starts it, with these steps of the demo model, and waits until all channels are connected. */
export async function startChatPlatform(
  steps: readonly object[],
  chats: readonly ChatChannel[],
): Promise<ChatPlatform> {
  const platform = await startTestPlatform()
  const state = async (channel: string) => {
    const { status } = await platform.getJson<ClawInstance>('get', 'clawinstance', 'helper')
    const found = status?.channels?.find(({ name }) => name === channel)
    return found && `${found.state} ${found.reason}`
  }
  try {
    const { secret, authRefs } = demoScript('talks', stringify({ steps }))
    const secrets = chats.map(({ name, secret: stringData }) => ({
      ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'default' }, stringData },
    }))
    const channels = chats.map(({ name, type }) => ({ name, type, secretRef: { name }, access: { mode: 'open' } }))
    await platform.apply(
      ...[allowAll(), secret, ...secrets],
      instance('helper', { timeout: '170s' }, { authRefs, channels }),
    )
    for (const { name } of chats) {
      const connected = async () => expect(await state(name)).toBe('Connected Connected')
      await vi.waitFor(connected, { timeout: 120_000, interval: 250 })
    }
  } catch (error) {
    await platform.close()
    throw error
  }
  return {
    ...platform,
    state,
    async webhook(channel) {
      const selector = `k8sclaw.io/instance=helper,k8sclaw.io/channel=${channel}`
      const found = await platform.getJson<{ items: { spec: { clusterIP?: string } }[] }>(
        ...['get', 'services', '-l', selector],
      )
      const url = `http://${found.items[0]?.spec.clusterIP}:8080`
      // A Service leads to a pod once that is ready, which may be after it is connected.
      await vi.waitFor(() => fetch(`${url}/healthz`), { timeout: 60_000, interval: 250 })
      return `${url}/webhook`
    },
  }
}
