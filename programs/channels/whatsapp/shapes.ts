import * as z from 'zod'

/** A telephone number without signs, as WhatsApp names people who show theirs. */
const phone = z.string().regex(/^\d{1,20}$/)
/** What WhatsApp calls a person towards one business, whether the number shows or not; another number is another id. */
const userId = z.string().regex(/^[A-Z]{2}\.[A-Za-z0-9.]{1,120}$/)
const id = z.string().min(1).max(512)
const words = z.string().max(65_536)
const file = z.object({
  id,
  mime_type: z.string().nullish(),
  filename: z.string().nullish(),
  caption: words.nullish(),
})

/** What a person sends. https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages */
const message = z.object({
  id,
  /** Seconds. */
  timestamp: z.string().regex(/^\d{1,11}$/),
  from: phone.nullish(),
  from_user_id: userId.nullish(),
  group_id: id.max(120).nullish(),
  type: z.string(),
  context: z
    .object({
      from: z.string().nullish(),
      forwarded: z.boolean().nullish(),
      frequently_forwarded: z.boolean().nullish(),
    })
    .nullish(),
  text: z.object({ body: words }).optional(),
  button: z.object({ text: words }).optional(),
  interactive: z
    .object({
      button_reply: z.object({ title: words }).optional(),
      list_reply: z.object({ title: words }).optional(),
    })
    .optional(),
  location: z
    .object({ latitude: z.number(), longitude: z.number(), name: words.nullish(), address: words.nullish() })
    .optional(),
  image: file.optional(),
  video: file.optional(),
  audio: file.optional(),
  document: file.optional(),
  sticker: file.optional(),
})
export type Message = z.output<typeof message>

const failure = z.object({ code: z.number(), title: z.string().nullish() })
export type Failure = z.output<typeof failure>

/** What became of a message of ours. */
const status = z.object({
  id,
  status: z.string(),
  recipient_id: z.string().nullish(),
  recipient_user_id: z.string().nullish(),
  recipient_type: z.string().nullish(),
  errors: z.array(failure).max(16).optional(),
})
export type Status = z.output<typeof status>

const contact = z.object({
  wa_id: z.string().nullish(),
  user_id: z.string().nullish(),
  profile: z.object({ name: z.string().nullish() }).nullish(),
})
export type Contact = z.output<typeof contact>

const value = z.object({
  messaging_product: z.literal('whatsapp'),
  metadata: z.object({ display_phone_number: z.string(), phone_number_id: z.string() }),
  contacts: z.array(z.unknown()).max(1_000).optional(),
  messages: z.array(z.unknown()).max(1_000).optional(),
  statuses: z.array(z.unknown()).max(1_000).optional(),
  errors: z.array(z.unknown()).max(100).optional(),
})

const delivery = z.object({
  object: z.literal('whatsapp_business_account'),
  entry: z
    .array(z.object({ changes: z.array(z.object({ field: z.string(), value: z.unknown() })).max(1_000) }))
    .max(1_000),
})

/** What a delivery holds for one number, each part read for itself: one that is wrong spoils no other. */
export interface Delivery {
  /** How the number reads, where there is a message. */
  number: string
  contacts: Contact[]
  messages: Message[]
  statuses: Status[]
  failures: Failure[]
}

/**
 * Reads what Meta delivers, of which nothing is trusted but that it is signed. `onUnknown` is called for each part that has
 * no form that is documented. What is for other numbers, or news of the account, is left out.
 */
export function readDelivery(payload: unknown, phoneNumberId: string, onUnknown: () => void): Delivery[] {
  const outer = delivery.safeParse(payload)
  if (!outer.success) {
    onUnknown()
    return []
  }
  const changes = outer.data.entry.flatMap((entry) => entry.changes).filter(({ field }) => field === 'messages')
  return changes.flatMap((change) => {
    const inner = value.safeParse(change.value)
    if (!inner.success) {
      onUnknown()
      return []
    }
    const { metadata, contacts, messages, statuses, errors } = inner.data
    if (metadata.phone_number_id !== phoneNumberId) return []
    return [
      {
        number: metadata.display_phone_number.replace(/\D/g, ''),
        contacts: each(contact, contacts, onUnknown),
        messages: each(message, messages, onUnknown),
        statuses: each(status, statuses, onUnknown),
        failures: each(failure, errors, onUnknown),
      },
    ]
  })
}

function each<T>(schema: z.ZodType<T>, all: readonly unknown[] | undefined, onUnknown: () => void): T[] {
  return (all ?? []).flatMap((one) => {
    const read = schema.safeParse(one)
    if (read.success) return [read.data]
    onUnknown()
    return []
  })
}
