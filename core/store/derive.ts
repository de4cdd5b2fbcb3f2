import { createHash } from 'node:crypto'
import type { Insertable, Transaction } from 'kysely'
import { forget } from './forget.ts'
import { type RecordEntry, type Said, saidIn } from './record-entry.ts'
import type { Tables } from './tables.ts'

/** An entry with the life of the stream that it was in. */
export type PlacedEntry = RecordEntry & { epoch: number }
type Place = Pick<PlacedEntry, 'namespace' | 'instance' | 'run' | 'epoch' | 'sequence' | 'at'>
type ValueOf<K extends Said['kind']> = Extract<Said, { kind: K; value: unknown }>['value']

/** Makes of one entry, which comes after all that stood before it, what the other tables hold of it. */
export async function derive(tx: Transaction<Tables>, entry: PlacedEntry): Promise<void> {
  const said = saidIn(entry)
  if (said.kind === 'task') await begun(tx, entry, said.value)
  else if (said.kind === 'outcome') await ended(tx, entry, said.value)
  else if (said.kind === 'usage') await used(tx, entry, said.value)
  else if (said.kind === 'summary') await summarised(tx, entry, said.value)
  else if (said.kind === 'followup') await saidMeanwhile(tx, entry, said.value)
}

/** The same session has the same id however often its rows are made. */
export function sessionId(namespace: string, instance: string, key: string): string {
  return createHash('sha256')
    .update(JSON.stringify([namespace, instance, key]))
    .digest('hex')
    .slice(0, 32)
}

async function begun(tx: Transaction<Tables>, place: Place, { task, effective }: ValueOf<'task'>): Promise<void> {
  const { namespace, instance, run, epoch, sequence, at } = place
  const key = task.sessionKey
  if (key !== undefined && (await wasDeleted(tx, place, key))) return await forget(tx, [run], at)
  const session_id = key === undefined ? null : sessionId(namespace, instance, key)
  if (key !== undefined && session_id !== null) {
    await tx
      .insertInto('sessions')
      .values({ id: session_id, namespace, instance, key, created_at: at, updated_at: at })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ updated_at: at }))
      .execute()
  }
  await tx
    .insertInto('runs')
    .values({
      uid: run,
      ...{ namespace, instance, session_id },
      ...{ name: task.run, agent: task.agent, policy: effective.policy.name },
      ...{ provider: task.model.provider, model: task.model.name },
      ...{ task: storable(task.task), started_at: at, phase: 'Running' },
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  const owner = { agent: task.agent, session_id, policy: effective.policy.name }
  await tx.updateTable('usage').set(owner).where('run', '=', run).execute()
  if (session_id === null) return
  await say(tx, { session_id, epoch, sequence, run, namespace, instance, role: 'user', content: task.task, at })
}

async function ended(
  tx: Transaction<Tables>,
  { namespace, instance, run, epoch, sequence, at }: Place,
  outcome: ValueOf<'outcome'>,
) {
  const { phase, reason, result, error, usage } = outcome
  const row = await tx
    .updateTable('runs')
    .set({
      ...{ phase, reason, ended_at: at, model_calls: usage.modelCalls, tool_calls: usage.toolCalls },
      ...{
        result: result === undefined ? null : storable(result),
        error: error === undefined ? null : storable(error),
      },
    })
    .where('uid', '=', run)
    .where('namespace', '=', namespace)
    .where('instance', '=', instance)
    .where('ended_at', 'is', null)
    .returning('session_id')
    .executeTakeFirst()
  if (!row?.session_id) return
  const { session_id } = row
  // A turn without an answer is told as such, so that the next run knows that nobody answered.
  const content = result ?? `(no answer: ${phase}, ${reason})`
  await say(tx, { session_id, epoch, sequence, run, namespace, instance, role: 'assistant', content, at })
  await tx.updateTable('sessions').set({ updated_at: at }).where('id', '=', session_id).execute()
}

/** Usage comes by a stream of its own, before or after the run that it belongs to. */
async function used(
  tx: Transaction<Tables>,
  { namespace, instance, run, epoch, sequence }: Place,
  usage: ValueOf<'usage'>,
) {
  const owner = await tx
    .selectFrom('runs')
    .select(['agent', 'session_id', 'policy'])
    .where('uid', '=', run)
    .executeTakeFirst()
  await tx
    .insertInto('usage')
    .values({
      ...{ run, epoch, sequence, namespace, instance, provider: usage.provider, model: usage.model, at: usage.at },
      ...(owner ?? { agent: null, session_id: null, policy: null }),
      ...{ input_tokens: usage.inputTokens ?? null, output_tokens: usage.outputTokens ?? null },
      status: usage.status ?? null,
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

/** Of a run that is in a conversation: what it had summarised stands for it from now on. */
async function summarised(
  tx: Transaction<Tables>,
  { namespace, instance, run, epoch, sequence, at }: Place,
  { answer: { output } }: ValueOf<'summary'>,
) {
  const { text, through, messages, partial } = output
  const session_id = await sessionOf(tx, { namespace, instance, run })
  if (session_id === null) return
  const place = { session_id, epoch, sequence, namespace, instance, run, at }
  await tx
    .insertInto('session_summaries')
    .values({ ...place, through, messages, partial, content: storable(text) })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

/** A person had more to say while the run went on: it stands where the run took it up. */
async function saidMeanwhile(tx: Transaction<Tables>, place: Place, { answer }: ValueOf<'followup'>): Promise<void> {
  const { namespace, instance, run, epoch, sequence, at } = place
  const session_id = await sessionOf(tx, place)
  if (session_id === null) return
  const content = answer.output.text
  await say(tx, { session_id, epoch, sequence, run, namespace, instance, role: 'user', content, at })
}

/** The conversation of a run; null where it is in none. */
async function sessionOf(
  tx: Transaction<Tables>,
  { namespace, instance, run }: Pick<Place, 'namespace' | 'instance' | 'run'>,
): Promise<string | null> {
  const row = await tx
    .selectFrom('runs')
    .select('session_id')
    .where('uid', '=', run)
    .where('namespace', '=', namespace)
    .where('instance', '=', instance)
    .executeTakeFirst()
  return row?.session_id ?? null
}

async function say(tx: Transaction<Tables>, message: Insertable<Tables['messages']>): Promise<void> {
  await tx
    .insertInto('messages')
    .values({ ...message, content: storable(message.content) })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

/** Whether somebody deleted this conversation after the run began. */
async function wasDeleted(tx: Transaction<Tables>, { namespace, instance, at }: Place, key: string): Promise<boolean> {
  const mark = await tx
    .selectFrom('session_marks')
    .select('deleted_at')
    .where('namespace', '=', namespace)
    .where('instance', '=', instance)
    .where('key', '=', key)
    .where('deleted_at', '>=', at)
    .executeTakeFirst()
  return mark !== undefined
}

/** PostgreSQL's text has no NUL; the record, which is json, keeps it. */
function storable(text: string): string {
  return text.replaceAll('\0', '\ufffd')
}
