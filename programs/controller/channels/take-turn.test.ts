import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Received } from '#core/channels'
import { type Access, type Known, takeTurn, usualAccess } from './take-turn.ts'

const within: Known = { pace: 'within', answered: false, room: true }
const ada = { id: 'U1', name: 'Ada', kind: 'person' as const }

function message(more: Partial<Received> = {}): Received {
  return {
    id: 'm1',
    at: '2026-01-01T00:00:00Z',
    chat: { id: 'c1', kind: 'direct' },
    sender: ada,
    text: 'hello',
    mentioned: true,
    mayCommand: true,
    attachments: [],
    ...more,
  }
}
const inGroup = (more: Partial<Received> = {}) => message({ chat: { id: 'g1', kind: 'group' }, ...more })
const letIn: Access = { ...usualAccess, allow: ['U1'] }

describe('a message', () => {
  const rows: [what: string, access: Partial<Access>, message: Received, known: Partial<Known>, step: object][] = [
    ['of somebody on the list', letIn, message(), {}, { do: 'turn', text: 'hello', anew: false }],
    ['of anybody where it is open', { mode: 'open' }, message(), {}, { do: 'turn', text: 'hello', anew: false }],
    ['of a stranger', {}, message(), {}, { do: 'pair' }],
    ['of a stranger who was answered', {}, message(), { answered: true }, { do: 'ignore', why: 'stranger' }],
    ['of a stranger to a list', { mode: 'allowlist' }, message(), {}, { do: 'refuse', why: 'stranger' }],
    ['of a stranger in a group', {}, inGroup(), {}, { do: 'ignore', why: 'stranger' }],
    ['to the bot in a group', letIn, inGroup(), {}, { do: 'turn', text: 'hello', anew: false }],
    ['to nobody in a group', letIn, inGroup({ mentioned: false }), {}, { do: 'ignore', why: 'not for us' }],
    [
      'to nobody where every one counts',
      { ...letIn, groups: 'always' },
      inGroup({ mentioned: false }),
      {},
      { do: 'turn', text: 'hello', anew: false },
    ],
    ['where groups never count', { ...letIn, groups: 'never' }, inGroup(), {}, { do: 'ignore', why: 'not for us' }],
    ['of a bot', { mode: 'open' }, message({ sender: { ...ada, kind: 'bot' } }), {}, { do: 'ignore' }],
    ['of nobody in particular', letIn, message({ sender: { ...ada, kind: 'anonymous' } }), {}, { do: 'ignore' }],
    ['that is a forward, a quote or an edit', letIn, message({ mayCommand: false }), {}, { do: 'ignore' }],
    ['too many', letIn, message(), { pace: 'over' }, { do: 'refuse', why: 'too fast' }],
    ['too many, as was said', letIn, message(), { pace: 'told' }, { do: 'ignore', why: 'too fast' }],
    ['where too many wait', letIn, message(), { room: false }, { do: 'refuse', why: 'no room' }],
    ['without a word', letIn, message({ text: ' \n' }), {}, { do: 'ignore', why: 'empty' }],
    [
      'without a word and with a file',
      letIn,
      message({ text: '', attachments: [{ name: 'a.pdf', mimeType: 'application/pdf', size: 3 }] }),
      {},
      { do: 'turn', text: '', anew: false },
    ],
    ['/stop', letIn, message({ text: '/stop' }), {}, { do: 'command', command: 'stop' }],
    ['/stop where too many wait', letIn, message({ text: '/stop' }), { room: false }, { do: 'command' }],
    ['/Status with a name', letIn, inGroup({ text: '/Status@the_bot ' }), {}, { do: 'command', command: 'status' }],
    ['a name and /help', letIn, inGroup({ text: '@the_bot /help' }), {}, { do: 'command', command: 'help' }],
    ['!stop', letIn, message({ text: '!stop' }), {}, { do: 'command', command: 'stop' }],
    ['!new with words', letIn, message({ text: '@claw !new go' }), {}, { do: 'turn', text: 'go', anew: true }],
    ['an exclamation', letIn, message({ text: '!wow' }), {}, { do: 'turn', text: '!wow' }],
    ['/start', letIn, message({ text: '/start x' }), {}, { do: 'command', command: 'help' }],
    ['/new', letIn, message({ text: '/new' }), {}, { do: 'turn', text: '', anew: true }],
    [
      '/new with words',
      letIn,
      message({ text: '/new Count to\nthree.' }),
      {},
      { do: 'turn', text: 'Count to\nthree.', anew: true },
    ],
    ['/stop with words', letIn, message({ text: '/stop it' }), {}, { do: 'turn', text: '/stop it' }],
    ['/deploy', letIn, message({ text: '/deploy now' }), {}, { do: 'turn', text: '/deploy now' }],
    ['of a stranger, /stop', {}, message({ text: '/stop' }), {}, { do: 'pair' }],
  ]
  test.each(rows)('%s', (_, access, said, known, step) => {
    expect(takeTurn({ ...usualAccess, ...access }, said, { ...within, ...known })).toMatchObject(step)
  })
})

const id = fc.string({ minLength: 1, maxLength: 12 })
const anyAccess: fc.Arbitrary<Access> = fc.record({
  mode: fc.constantFrom('pairing', 'allowlist', 'open'),
  allow: fc.array(id, { maxLength: 4 }),
  groups: fc.constantFrom('mention', 'always', 'never'),
})
const anyText = fc.oneof(fc.string({ maxLength: 40 }), fc.constantFrom('/new', '/stop', '/status x', '@b /new go'))
const anyMessage: fc.Arbitrary<Received> = fc.record({
  id,
  at: fc.constant('2026-01-01T00:00:00Z'),
  chat: fc.record({ id, kind: fc.constantFrom('direct', 'group') }),
  sender: fc.record({ id, name: fc.string(), kind: fc.constantFrom('person', 'bot', 'anonymous') }),
  text: anyText,
  mentioned: fc.boolean(),
  mayCommand: fc.boolean(),
  attachments: fc.constant([]),
})
const anyKnown: fc.Arbitrary<Known> = fc.record({
  pace: fc.constantFrom('within', 'over', 'told'),
  answered: fc.boolean(),
  room: fc.boolean(),
})
const acts = (step: { do: string }) => step.do === 'turn' || step.do === 'command'

describe('whatever the settings', () => {
  test('what no person says himself and now neither commands, starts a run, nor is answered', () => {
    fc.assert(
      fc.property(anyAccess, anyMessage, anyKnown, (access, said, known) => {
        const own = said.sender.kind === 'person' && said.mayCommand
        if (!own) expect(takeTurn(access, said, known).do).toBe('ignore')
      }),
    )
  })

  test('who is not let in neither commands nor starts a run', () => {
    fc.assert(
      fc.property(anyAccess, anyMessage, anyKnown, (access, said, known) => {
        const stranger = access.mode !== 'open' && !access.allow.includes(said.sender.id)
        if (stranger) expect(acts(takeTurn(access, said, known))).toBe(false)
      }),
    )
  })

  test('in a group a stranger is never answered, and nobody is where groups never count', () => {
    fc.assert(
      fc.property(anyAccess, anyMessage, anyKnown, (access, said, known) => {
        const grouped = { ...said, chat: { ...said.chat, kind: 'group' as const } }
        const stranger = access.mode !== 'open' && !access.allow.includes(said.sender.id)
        if (stranger || access.groups === 'never') expect(takeTurn(access, grouped, known).do).toBe('ignore')
      }),
    )
  })

  test('a name that anybody can give himself decides nothing', () => {
    fc.assert(
      fc.property(anyAccess, anyMessage, anyKnown, fc.string(), (access, said, known, name) => {
        const renamed = { ...said, sender: { ...said.sender, name } }
        expect(takeTurn(access, renamed, known)).toEqual(takeTurn(access, said, known))
      }),
    )
  })
})
