import { expect, test } from 'vitest'
import { type AgentRunSpec, type ClawInstance, clawInstanceSpec, parseSpec } from '#core/kinds'
import { askingUser } from './asking-user.ts'

const claw: ClawInstance = {
  apiVersion: 'k8sclaw.io/v1alpha1',
  kind: 'ClawInstance',
  metadata: { name: 'desk' },
  spec: parseSpec(clawInstanceSpec, {
    agents: { default: { model: { provider: 'demo', name: 'demo' } } },
    channels: [
      { name: 'chat', type: 'telegram', secretRef: { name: 'a' } },
      { name: 'chat-2', type: 'slack', secretRef: { name: 'b' } },
    ],
  }),
}
const rows: [string, AgentRunSpec['origin'], string | undefined][] = [
  ['who created the run', { kind: 'user', detail: 'ann' }, 'ann'],
  ['the one person of a direct chat', { kind: 'channel', detail: 'chat/123', direct: true }, 'telegram:chat/123'],
  ['that person with their workspace', { kind: 'channel', detail: 'chat-2/T1/U1', direct: true }, 'slack:chat-2/T1/U1'],
  ['nobody in a group', { kind: 'channel', detail: 'chat/123' }, undefined],
  ['nobody of a channel that is no more', { kind: 'channel', detail: 'gone/123', direct: true }, undefined],
  ['nobody for another run', { kind: 'agent', detail: 'other' }, undefined],
  ['nobody where nothing is said', undefined, undefined],
]

test.each(rows)('a run is on behalf of %s', (_, origin, user) => {
  expect(askingUser(claw, origin)).toBe(user)
})
