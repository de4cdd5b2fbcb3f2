import * as z from 'zod'

/** An id as Slack makes them: a letter for what it is of, then letters and digits. */
const id = z.string().regex(/^[A-Z0-9]{1,32}$/)
/** When something was said, which is also its name inside its channel. */
const timestamp = z.string().regex(/^\d{1,12}\.\d{1,9}$/)

/** What somebody said, as far as it matters here. https://docs.slack.dev/reference/events/message */
const said = z.object({
  type: z.enum(['message', 'app_mention']),
  subtype: z.string().optional(),
  hidden: z.boolean().optional(),
  channel: id,
  channel_type: z.string().optional(),
  user: id.optional(),
  bot_id: id.optional(),
  /** The workspace of who speaks, which in a channel shared between two is not always the app's. */
  user_team: id.optional(),
  team: id.optional(),
  text: z.string().optional(),
  ts: timestamp,
  thread_ts: timestamp.optional(),
  /** Who began the thread. */
  parent_user_id: id.optional(),
  edited: z.unknown().optional(),
  files: z
    .array(
      z.object({
        id: id.optional().catch(undefined),
        name: z.string().nullish(),
        mimetype: z.string().nullish(),
        size: z.number().nullish(),
      }),
    )
    .optional(),
  attachments: z.array(z.object({ is_share: z.boolean().optional() })).optional(),
})
export type Said = z.output<typeof said>

const installation = z.object({ team_id: id.nullish(), user_id: id.nullish() })
type Installation = z.output<typeof installation>

const callback = z.object({
  type: z.literal('event_callback'),
  team_id: id,
  /** For which installations of the app this is. */
  authorizations: z.array(installation).optional(),
  event: z.object({ type: z.string() }),
})

/** What Slack delivers: something said, something that is nobody's word, or nothing that its documentation knows. */
export type Delivery =
  | { kind: 'said'; said: Said; team: string; for: readonly Installation[] }
  | { kind: 'other' | 'unknown' }

/** Reads the payload of the Events API, of which nothing is trusted. */
export function readDelivery(payload: unknown): Delivery {
  const outer = callback.safeParse(payload)
  if (!outer.success) return { kind: 'unknown' }
  const { event, team_id: team, authorizations } = outer.data
  if (event.type !== 'message' && event.type !== 'app_mention') return { kind: 'other' }
  const inner = said.safeParse((payload as { event: unknown }).event)
  // News of a channel (somebody joined, a message was deleted) have forms of their own.
  if (!inner.success) return { kind: 'subtype' in event ? 'other' : 'unknown' }
  return { kind: 'said', said: inner.data, team, for: authorizations ?? [] }
}

/** A message of a chat's history, which has the form of its event but does not say where it is. */
export function readHistory(message: object, channel: string): Said | undefined {
  return said.safeParse({ ...message, channel }).data
}
