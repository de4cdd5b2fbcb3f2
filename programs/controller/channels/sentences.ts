import { maxText } from '#core/channels'
import type { Outcome } from '#core/journal'
import type { AgentRun } from '#core/kinds'

/** What the platform itself says to people in a chat: plain sentences, and nothing of its inside. */
export const sentences = {
  help: [
    'Write to me, and an agent works on it. I know these commands:',
    '/new begins a new conversation',
    '/status says what is going on',
    '/stop ends what is going on, and forgets what waits',
    '/help shows this',
    'Where a slash is kept for other commands, as in Slack, write an exclamation mark instead: !new',
  ].join('\n'),
  begunAnew: 'A new conversation begins: I no longer have in mind what was said before.',
  nothingToStop: 'There is nothing to stop.',
  tooFast: 'You write faster than I can answer: this was not taken. Please wait a little.',
  noRoom: 'Too many messages wait for me already. This one was not taken; please send it again later.',
  stranger: (id: string) =>
    `I may not talk to you. Whoever keeps me can let you in: add your id, \`${id}\`, to the list of this channel.`,
  pair: (code: string, where: { namespace: string; instance: string; channel: string }) =>
    [
      `I do not know you yet. Ask whoever keeps me to let you in within ten minutes, with this command:`,
      `\`k8sclaw channels pair ${code} -n ${where.namespace} --instance ${where.instance} --channel ${where.channel}\``,
    ].join('\n\n'),
  letIn: 'You are let in: write to me.',
  tooManyStrangers: 'Too many people ask to be let in at the moment. Please try again in ten minutes.',
  refused: (name: string) =>
    `Sorry, I may not begin with this: the rules here refuse run ${name}. Whoever keeps me finds the reason in the log.`,
} as const

/** `/status`, of what is going on, how much of it was handed on to that, and how much waits. */
export function statusSentence(runs: readonly AgentRun[], messages: readonly { sentTo?: string }[]): string {
  const handed = messages.filter(({ sentTo }) => sentTo !== undefined).length
  const waiting = messages.length - handed
  const told = runs.map(({ metadata, status }) =>
    status?.phase === 'Running' ? `Run ${metadata.name} is at work.` : `Run ${metadata.name} waits to begin.`,
  )
  const besides =
    handed === 0 ? [] : [handed === 1 ? 'It was handed one more message.' : `It was handed ${handed} more messages.`]
  const more = waiting === 0 ? [] : [waiting === 1 ? 'One message waits.' : `${waiting} messages wait.`]
  return [...(told.length > 0 ? told : ['Nothing is going on.']), ...besides, ...more].join(' ')
}

/** `/stop`, of what was ended and forgotten. */
export function stopSentence(runs: readonly string[], dropped: number): string {
  if (runs.length === 0 && dropped === 0) return sentences.nothingToStop
  const ended = runs.map((name) => `I am stopping run ${name}.`)
  const forgotten = dropped === 0 ? [] : [`What waited (${dropped}) is forgotten.`]
  return [...ended, ...forgotten].join(' ')
}

/** A run that does not begin at once. */
export function waitsSentence(name: string, reason: string | undefined): string {
  const why =
    reason === 'Queued'
      ? 'other work is ahead of it'
      : reason === 'SessionBusy'
        ? 'an earlier one of this conversation is not done'
        : `something that it needs is not there yet (${reason ?? 'Pending'})`
  return `This has to wait: ${why}. It begins by itself, as run ${name}.`
}

const forbidden = 'the rules here do not allow what it needs'
const amiss = 'it is not set up as it has to be'

/** Why a run ended without an answer, for who cannot do anything about it: whoever can has the reason itself as well. */
const reasons: Record<string, string> = {
  DeadlineExceeded: 'its time was over',
  StartDeadline: 'it could not be started in time',
  NoResult: 'the agent ended without an answer',
  AgentFailed: 'the agent broke off',
  AgentDied: 'the agent was ended from outside',
  OOMKilled: 'the agent needed more memory than it may have',
  Evicted: 'the machine it ran on was cleared',
  Preempted: 'it had to give way to more urgent work',
  NodeLost: 'the machine it ran on was lost',
  PodRejected: 'the machine it was to run on did not take it',
  PodLost: 'somebody took away what it ran in',
  ModelNotAllowed: forbidden,
  SandboxRequired: forbidden,
  ImageNotAllowed: forbidden,
  ResourcesExceeded: forbidden,
  RuntimeClassConflict: forbidden,
  TooDeep: forbidden,
  TooManyChildren: forbidden,
  NotIsolated: forbidden,
  UnknownAgent: amiss,
  NoCredential: amiss,
  ConflictingImages: amiss,
  DuplicateSkill: amiss,
  TooManySkills: amiss,
  SkillChanged: amiss,
  WrongParent: amiss,
  ParentMissing: amiss,
  JobRefused: amiss,
}

/** What a person gets at the end of a run, as Markdown: the answer, or one sentence with the run's name. */
export function replyText(name: string, { phase, reason, result = '', error = '' }: Partial<Outcome>): string {
  if (phase === 'Succeeded') return cut(result.trim() || `Run ${name} is done, and said nothing.`, name)
  if (phase === 'Cancelled') return `Run ${name} was stopped.`
  // The agent's own word, which is an answer too; what the platform says of its inside stays in the status of the run.
  const said = reason === 'AgentError' ? (error.split('\n')[0] ?? '').slice(0, 300).trim() : ''
  const why = said || whyOf(reason)
  const what = phase === 'TimedOut' ? 'took too long' : 'failed'
  return `Sorry, run ${name} ${what}: ${why.replace(/\.$/, '')}.`
}

function whyOf(reason = 'unknown'): string {
  const plain = Object.hasOwn(reasons, reason) ? reasons[reason] : undefined
  if (plain === undefined) return `reason ${reason}`
  return plain === forbidden || plain === amiss ? `${plain} (${reason})` : plain
}

function cut(text: string, name: string): string {
  if (text.length <= maxText) return text
  const mark = `\n\n[cut; the whole of it is in the record of run ${name}]`
  const end = maxText - mark.length
  // Not between the two halves of one character.
  return text.slice(0, /[\uD800-\uDBFF]/.test(text[end - 1] ?? '') ? end - 1 : end) + mark
}
