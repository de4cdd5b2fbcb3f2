/**
 * WhatsApp's Cloud API as its documentation has it (https://developers.facebook.com/documentation/business-messaging/whatsapp),
 * for one business number, on 127.0.0.1: the calls that a bot of ours makes, the webhook that Meta calls, and the people and
 * groups at the other side. It is strict where the service is: the token, every parameter's name, lengths, templates, the 24
 * hours, rates of a pair and of the number, signatures. What was not taken comes again in a second, where Meta takes longer.
 */
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { buffer as bufferOf } from 'node:stream/consumers'
import * as z from 'zod'
import { Faults } from './faults.ts'
import { callWebhook } from './webhook.ts'

export interface Person {
  phone: string
  userId: string
  name: string
  /** Goes by a name, so that nobody sees the number. */
  hidden: boolean
  /** What this person, or group, is called on the bus. */
  chat: string
}

/** Something of ours that stands in a chat. */
export interface Said {
  id: string
  chat: string
  text: string
  template?: string
  replyTo?: string
  file?: { name: string; bytes: Buffer }
}

/** A file as Meta keeps it; who uploaded it or sent it, and for how long it stays, does not matter here. */
interface Kept {
  name: string
  type: string
  bytes: Buffer
  size: number
  /** Where it lies, if not at Meta. */
  elsewhere?: string
}

/** A call that the bot made, and the number of the error it was answered with; 0 where it was none. */
export interface Call {
  path: string
  given: Record<string, unknown>
  code: number
}

class Refused extends Error {
  readonly code: number
  readonly status: number
  readonly more: object

  constructor(
    code: number,
    message: string,
    { status = 400, ...more }: { status?: number; [more: string]: unknown } = {},
  ) {
    super(`(#${code}) ${message}`)
    this.code = code
    this.status = status
    this.more = more
  }
}

const dayMs = 24 * 60 * 60_000
const retryMs = 400
const pair = { burst: 45, perMs: 6_000 }
const throughput = 80
/** Longer than a text may be. */
const maxText = 4_096

const MiB = 1024 * 1024
const document = 'application/vnd.openxmlformats-officedocument'
/** What may be uploaded, and how large it may be. */
const mediaLimits: Record<string, number> = {
  ...Object.fromEntries(['image/jpeg', 'image/png'].map((type) => [type, 5 * MiB])),
  ...Object.fromEntries(
    ['audio/aac', 'audio/amr', 'audio/mpeg', 'audio/mp4', 'audio/ogg'].map((type) => [type, 16 * MiB]),
  ),
  ...Object.fromEntries(['video/mp4', 'video/3gpp'].map((type) => [type, 16 * MiB])),
  ...Object.fromEntries(['text/plain', 'application/pdf'].map((type) => [type, 100 * MiB])),
  ...Object.fromEntries(
    ['wordprocessingml.document', 'spreadsheetml.sheet', 'presentationml.presentation'].map((type) => [
      `${document}.${type}`,
      100 * MiB,
    ]),
  ),
}

const media = z.strictObject({ id: z.string(), caption: z.string().max(1024).optional() })
const context = z.strictObject({ message_id: z.string() })
const address = {
  messaging_product: z.literal('whatsapp'),
  recipient_type: z.enum(['individual', 'group']).optional(),
  to: z.string().optional(),
  recipient: z.string().optional(),
  context: context.optional(),
}
const request = z.union([
  z.strictObject({
    ...address,
    type: z.literal('text').optional(),
    text: z.strictObject({ body: z.string().min(1).max(maxText), preview_url: z.boolean().optional() }),
  }),
  z.strictObject({
    ...address,
    type: z.literal('template'),
    template: z.strictObject({
      name: z.string(),
      language: z.strictObject({ code: z.string(), policy: z.literal('deterministic').optional() }),
    }),
  }),
  z.strictObject({ ...address, type: z.literal('image'), image: media }),
  z.strictObject({ ...address, type: z.literal('video'), video: media }),
  z.strictObject({ ...address, type: z.literal('audio'), audio: media.omit({ caption: true }) }),
  z.strictObject({
    ...address,
    type: z.literal('document'),
    document: media.extend({ filename: z.string().max(240) }),
  }),
  z.strictObject({
    messaging_product: z.literal('whatsapp'),
    status: z.literal('read'),
    message_id: z.string(),
    typing_indicator: z.strictObject({ type: z.literal('text') }).optional(),
  }),
])

interface FileOptions {
  type?: string
  told?: number
  elsewhere?: string
}

export type WhatsAppService = Awaited<ReturnType<typeof startWhatsApp>>

interface Queued {
  payload: object
  done: () => void
}

export async function startWhatsApp() {
  const ids = { number: '106540352242922', account: '102290129340398', own: '15550783881' }
  const token = 'EAAJBstandIn'
  const secrets = { app: '0123456789abcdef0123456789abcdef', verify: 'verify-stand-in' }
  const people = new Map<string, Person>()
  const groups = new Set<string>()
  const opened = new Map<string, number>()
  const inbound = new Map<string, { chat: string; message: Record<string, unknown>; person: Person }>()
  const said: Said[] = []
  const calls: Call[] = []
  const read: { message: string; chat: string; typing: boolean }[] = []
  const templates = new Set(['come_back:en_US'])
  const files = new Map<string, Kept>()
  const gone = new Set<string>()
  const budgets = new Map<string, { left: number; at: number }>()
  const state = { out: false, floods: 0, late: false, refuse: undefined as Refused | undefined, second: 0, inSecond: 0 }
  const queue: Queued[] = []
  /** Being posted now. */
  const out = new Map<Queued, { isSent: boolean }>()
  /** What is said together, until all of it is. */
  let together: Queued[] | undefined
  let webhook: string | undefined
  let swallow: (() => void) | undefined
  let count = 0
  let closed = false
  /** The second of what was said last. */
  let saidAt = 0

  const faults = new Faults()
  const server = createServer(
    faults.around((from, response) => {
      if (state.out) return void from.socket.destroy()
      serve(from, response).catch(() => response.destroy())
    }),
  )
  const api = `http://${await faults.listen(server)}/v23.0`
  const delivering = deliverAll()

  async function serve(from: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(from.url ?? '/', 'http://graph')
    const body = await bufferOf(from)
    const call: Call = { path: url.pathname, given: {}, code: 0 }
    calls.push(call)
    const answer = (status: number, content: object) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(content))
    try {
      const done = await handle(from, url, body, call)
      if (done === 'nothing') return
      if (Buffer.isBuffer(done)) return void response.writeHead(200).end(done)
      answer(200, done)
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      const { code, message, status, more } = error
      call.code = code
      const details = { messaging_product: 'whatsapp', details: message }
      const usage = 'minutes' in more ? more.minutes : undefined
      if (usage !== undefined) {
        const one = { type: 'whatsapp', call_count: 100, total_cputime: 1, total_time: 1 }
        const header = { [ids.account]: [{ ...one, estimated_time_to_regain_access: usage }] }
        response.setHeader('x-business-use-case-usage', JSON.stringify(header))
      }
      answer(status, {
        error: { message, type: 'OAuthException', code, ...more, error_data: details, fbtrace_id: 'A1' },
      })
    }
  }

  async function handle(from: IncomingMessage, url: URL, body: Buffer, call: Call): Promise<object | 'nothing'> {
    if (from.headers.authorization !== `Bearer ${token}`) {
      throw new Refused(190, 'Invalid OAuth access token', { status: 401 })
    }
    if (state.refuse) throw state.refuse
    const [version = '', id = '', edge, ...rest] = url.pathname.slice(1).split('/')
    if (!/^v\d+\.0$/.test(version) || rest.length > 0) throw new Refused(2500, 'Unknown path components')
    const file = files.get(id)
    if (from.method === 'GET' && edge === undefined && file) {
      const sha256 = createHash('sha256').update(file.bytes).digest('hex')
      const at = file.elsewhere ?? `${api}/${id}/content`
      return { messaging_product: 'whatsapp', url: at, mime_type: file.type, sha256, file_size: file.size, id }
    }
    if (from.method === 'GET' && edge === 'content' && file) return file.bytes
    if (id !== ids.number) throw new Refused(100, 'Unsupported get request', { error_subcode: 33 })
    if (from.method === 'GET' && edge === undefined) {
      const all: Record<string, string> = {
        ...{ id, verified_name: 'Claw', display_phone_number: '+1 555-078-3881', quality_rating: 'GREEN' },
      }
      const fields = url.searchParams.get('fields')?.split(',') ?? Object.keys(all)
      const unknown = fields.find((field) => !Object.hasOwn(all, field))
      if (unknown) throw new Refused(100, `Tried accessing nonexisting field (${unknown})`)
      return Object.fromEntries([...fields.map((field) => [field, all[field]]), ['id', id]])
    }
    if (from.method === 'POST' && edge === 'media') return await keep(from, body)
    if (from.method !== 'POST' || edge !== 'messages') throw new Refused(100, 'Unsupported request')
    if (!from.headers['content-type']?.startsWith('application/json')) throw new Refused(100, 'no JSON')
    call.given = parsed(body.toString())
    return take(call.given)
  }

  /** https://developers.facebook.com/documentation/business-messaging/whatsapp/business-phone-numbers/media#upload-media */
  async function keep(from: IncomingMessage, body: Buffer): Promise<object> {
    const headers = { 'content-type': from.headers['content-type'] ?? '' }
    const form = await new Response(new Uint8Array(body), { headers }).formData()
    if (form.get('messaging_product') !== 'whatsapp')
      throw new Refused(100, 'The parameter messaging_product is required.')
    const file = form.get('file')
    if (!file || typeof file === 'string') throw new Refused(100, 'The parameter file is required.')
    const type = String(form.get('type') ?? file.type)
    const limit = mediaLimits[type]
    if (limit === undefined)
      throw new Refused(
        100,
        `Param file must be a file with one of the following types. Received file of type '${type}'.`,
      )
    if (file.size > limit) throw new Refused(131053, 'Media upload error')
    const id = String(2_000_000 + ++count)
    files.set(id, { name: file.name, type, bytes: Buffer.from(await file.arrayBuffer()), size: file.size })
    return { id }
  }

  /** What a message of ours holds that is a file. */
  function mediaOf(data: object): { name: string; bytes: Buffer } | undefined {
    const [type] = ['image', 'video', 'audio', 'document'].filter((kind) => kind in data)
    if (type === undefined) return undefined
    const { id, filename } = (data as Record<string, { id: string; filename?: string }>)[type] ?? { id: '' }
    const file = files.get(id)
    if (!file) throw new Refused(131009, 'Parameter value is not valid')
    const isOfKind =
      type === 'document' ? !/^(?:image|video|audio)\//.test(file.type) : file.type.startsWith(`${type}/`)
    if (!isOfKind) throw new Refused(131053, 'Media upload error')
    return { name: filename ?? file.name, bytes: file.bytes }
  }

  function take(given: Record<string, unknown>): object | 'nothing' {
    const known = request.safeParse(given)
    if (!known.success) throw new Refused(100, 'Invalid parameter')
    const { data } = known
    if ('status' in data) {
      const about = inbound.get(data.message_id)
      if (!about) throw new Refused(131009, 'Parameter value is not valid')
      read.push({ message: data.message_id, chat: about.chat, typing: data.typing_indicator !== undefined })
      return { success: true }
    }
    const chat = chatOf(data.to ?? data.recipient, data.recipient_type, data.to === undefined)
    limit(chat)
    if (gone.has(chat)) throw new Refused(131026, 'Message undeliverable')
    if (
      data.context &&
      !inbound.has(data.context.message_id) &&
      !said.some(({ id }) => id === data.context?.message_id)
    ) {
      throw new Refused(131009, 'Parameter value is not valid')
    }
    const id = `wamid.${randomBytes(24).toString('base64')}`
    const receipt = { messaging_product: 'whatsapp', contacts: [{ input: chat, wa_id: chat }], messages: [{ id }] }
    if ('template' in data) {
      const name = `${data.template.name}:${data.template.language.code}`
      if (!templates.has(name)) throw new Refused(132001, 'Template name does not exist in the translation')
      said.push({ id, chat, text: '', template: name })
      return receipt
    }
    const isOpen = Date.now() - (opened.get(chat) ?? 0) < dayMs
    if (!isOpen && !state.late) throw new Refused(131047, 'Re-engagement message')
    if (!isOpen) {
      void put({
        statuses: [{ ...statusOf(id, chat, 'failed'), errors: [{ code: 131047, title: 'Re-engagement message' }] }],
      })
      return receipt
    }
    const media = mediaOf(data)
    const text = 'text' in data ? data.text.body : ''
    said.push({
      id,
      chat,
      text,
      ...(media && { file: media }),
      ...(data.context && { replyTo: data.context.message_id }),
    })
    for (const status of ['sent', 'delivered', 'read']) void put({ statuses: [statusOf(id, chat, status)] })
    if (!swallow) return receipt
    swallow()
    swallow = undefined
    return 'nothing'
  }

  function chatOf(to: string | undefined, type = 'individual', isUserId = false): string {
    if (to === undefined) throw new Refused(100, 'The parameter to is required.')
    if (type === 'group') {
      if (!groups.has(to)) throw new Refused(131026, 'Message undeliverable')
      return to
    }
    const person = [...people.values()].find(({ phone, userId }) => to === (isUserId ? userId : phone))
    if (!person) throw new Refused(isUserId || /^\d+$/.test(to) ? 131026 : 100, 'Message undeliverable')
    return person.chat
  }

  /** So many at once to one person, and then one in six seconds; so many a second in all. */
  function limit(chat: string): void {
    if (state.floods > 0) {
      state.floods--
      throw new Refused(130429, 'Rate limit hit', { status: 429 })
    }
    const now = Date.now()
    const second = Math.floor(now / 1000)
    state.inSecond = state.second === second ? state.inSecond + 1 : 1
    state.second = second
    if (state.inSecond > throughput) throw new Refused(130429, 'Rate limit hit', { status: 429 })
    const budget = budgets.get(chat) ?? { left: pair.burst, at: now }
    const left = Math.min(pair.burst, budget.left + (now - budget.at) / pair.perMs)
    if (left < 1) throw new Refused(131056, 'Pair rate limit hit')
    budgets.set(chat, { left: left - 1, at: now })
  }

  function statusOf(id: string, chat: string, status: string) {
    const person = people.get(chat)
    const to = person && { ...(!person.hidden && { recipient_id: person.phone }), recipient_user_id: person.userId }
    const at = String(Math.floor(Date.now() / 1000))
    return { id, status, timestamp: at, ...(to ?? { recipient_id: chat, recipient_type: 'group' }) }
  }

  const sign = (body: string) => ({
    'content-type': 'application/json',
    'x-hub-signature-256': `sha256=${createHmac('sha256', secrets.app).update(body).digest('hex')}`,
  })
  const wrap = (value: object, number = ids.number) => {
    const metadata = { display_phone_number: ids.own, phone_number_id: number }
    const change = { field: 'messages', value: { messaging_product: 'whatsapp', metadata, ...value } }
    return { object: 'whatsapp_business_account', entry: [{ id: ids.account, changes: [change] }] }
  }
  /** Puts something into the queue; resolves once it is taken. */
  const put = (value: object) =>
    new Promise<void>((done) => {
      const one = { payload: wrap(value), done }
      queue.push(one)
      together?.push(one)
    })

  /** One after the other, each until it is taken. */
  async function deliverAll(): Promise<void> {
    while (!closed) {
      const next = queue.find((one) => !out.has(one))
      const taken = next && !state.out && webhook !== undefined && (await attempt(webhook, next))
      if (!taken) await new Promise((resolve) => setTimeout(resolve, next ? retryMs : 10))
    }
  }

  async function attempt(url: string, one: Queued, onOut = () => {}): Promise<boolean> {
    const call = { isSent: false }
    out.set(one, call)
    const body = JSON.stringify(one.payload)
    const onSent = () => {
      call.isSent = true
      onOut()
    }
    const taken = (await callWebhook(url, { body, headers: sign(body), timeoutMs: 10_000, onSent })) === 200
    onOut()
    out.delete(one)
    if (taken) {
      queue.splice(queue.indexOf(one), 1)
      one.done()
    }
    return taken
  }

  function fieldsOf(person: Person) {
    const { phone, userId, name, hidden } = person
    const contact = { profile: { name }, ...(!hidden && { wa_id: phone }), user_id: userId }
    return { contact, from: { ...(!hidden && { from: phone }), from_user_id: userId } }
  }

  return {
    ids,
    token,
    secrets,
    url: api,
    env: {
      WHATSAPP_ACCESS_TOKEN: token,
      WHATSAPP_PHONE_NUMBER_ID: ids.number,
      WHATSAPP_APP_SECRET: secrets.app,
      WHATSAPP_VERIFY_TOKEN: secrets.verify,
      WHATSAPP_API_URL: api,
    },
    calls,
    faults,
    read,
    sign,
    wrap,
    put,
    /** Somebody whose number shows, or who goes by a name; has written just now. */
    person({ hidden = false, name = `Person ${count + 1}` } = {}): Person {
      const n = ++count
      const person = {
        phone: `4915100${n}`,
        userId: `DE.1349120865530${n}`,
        name,
        hidden,
        chat: `DE.1349120865530${n}`,
      }
      people.set(person.chat, person)
      opened.set(person.chat, Date.now())
      return person
    },
    group(): string {
      const id = `Y2FwaV9ncm91cDox${++count}`
      groups.add(id)
      opened.set(id, Date.now())
      return id
    },
    /** A person writes, or sends what `more` says; gives the message. */
    say(person: Person, body: string, { group, ...more }: { group?: string; [more: string]: unknown } = {}) {
      const { contact, from } = fieldsOf(person)
      const id = `wamid.${randomBytes(24).toString('base64')}`
      // Of what is said together each is of another second: nothing else tells their order.
      saidAt = Math.max(Math.floor(Date.now() / 1000), saidAt + (together ? 1 : 0))
      const content = { timestamp: String(saidAt), type: 'text', text: { body } }
      const message = { id, ...from, ...(group && { group_id: group }), ...content, ...more }
      const chat = group ?? person.chat
      opened.set(chat, Date.now())
      inbound.set(id, { chat, message, person })
      void put({ contacts: [contact], messages: [message] })
      return message
    },
    /** All that was said comes once more, the newest first. */
    again(): void {
      for (const { message, person } of [...inbound.values()].reverse()) {
        void put({ contacts: [fieldsOf(person).contact], messages: [message] })
      }
    },
    /** A file of somebody's, as it goes with what they say; `told` is what Meta says of its size. */
    file(bytes: Buffer, { type = 'image/jpeg', told = bytes.length, elsewhere }: FileOptions = {}): string {
      const id = String(1_000_000 + ++count)
      files.set(id, { name: id, type, bytes, size: told, ...(elsewhere !== undefined && { elsewhere }) })
      return id
    },
    forgetFiles: () => files.clear(),
    said: (chat: string) => said.filter((one) => one.chat === chat),
    pending: () => queue.length,
    /** Something is with the bot, which has said nothing of it yet. */
    delivered: () => out.values().some(({ isSent }) => isSent),
    /** What is said meanwhile is delivered all at once, the newest first; resolves when all of it is on its way. */
    async atOnce(say: () => void): Promise<void> {
      together = []
      say()
      const all = together.toReversed()
      together = undefined
      const to = webhook
      if (to === undefined || state.out) return
      await Promise.all(all.map((one) => new Promise<void>((onOut) => void attempt(to, one, onOut))))
    },
    /** Meta asks whether the address is meant, and calls it if so. */
    async callAt(url: string): Promise<boolean> {
      const query = { 'hub.mode': 'subscribe', 'hub.verify_token': secrets.verify, 'hub.challenge': '1158201444' }
      const response = await fetch(`${url}?${new URLSearchParams(query)}`)
      if ((await response.text()) !== '1158201444') return false
      webhook = url
      return true
    },
    /** Meta was told of the address long ago. */
    callsAt: (url: string) => {
      webhook = url
    },
    /** A day has gone by since this person wrote. */
    dayPasses: (chat: string) => opened.set(chat, Date.now() - dayMs - 1),
    /** What is refused for the 24 hours is accepted first, and said to have failed then. */
    refuseLate: (is: boolean) => {
      state.late = is
    },
    leave: (chat: string) => gone.add(chat),
    flood: (calls: number) => {
      state.floods = calls
    },
    refuse(code: number, more: { status?: number; [more: string]: unknown } = {}): void {
      state.refuse = code === 0 ? undefined : new Refused(code, 'as the test wants', more)
    },
    outage(on: boolean): void {
      state.out = on
      if (on) server.closeAllConnections()
    },
    swallowAnswer: () =>
      new Promise<void>((resolve) => {
        swallow = resolve
      }),
    async close(): Promise<void> {
      closed = true
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await delivering
    },
  }
}

function parsed(body: string): Record<string, unknown> {
  try {
    return JSON.parse(body) as Record<string, unknown>
  } catch {
    throw new Refused(100, 'no JSON')
  }
}
