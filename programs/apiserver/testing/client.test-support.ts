import { once } from 'node:events'
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { Ajv2020 } from 'ajv/dist/2020.js'

interface Parameter {
  name: string
  in: 'path' | 'query' | 'header'
}
interface Content {
  content?: Record<string, { schema: object }>
}
export interface Operation {
  id: string
  method: string
  path: string
  parameters: Parameter[]
  bodyTypes: string[]
  responses: Record<string, Content>
}

export interface Wish {
  params?: Record<string, string>
  query?: Record<string, string>
  headers?: Record<string, string>
  /** Sent as JSON; `raw` as it is. */
  body?: unknown
  raw?: string
}

export interface Told {
  status: number
  headers: IncomingHttpHeaders
  text: string
  // biome-ignore lint/suspicious/noExplicitAny: each test knows what it asked for; the schema has been checked.
  json: any
}

interface Document {
  paths: Record<
    string,
    Record<string, Omit<Operation, 'bodyTypes' | 'id'> & { operationId: string; requestBody?: Content }>
  >
}

/**
 * A client that knows nothing of the API but its openapi.json: operations by their id, and no answer taken that is not
 * as the document says.
 */
export class DocumentClient {
  readonly operations: readonly Operation[]
  readonly #base: string
  readonly #token: string
  readonly #ajv: Ajv2020
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 32 })

  constructor(document: object, base: string, token: string) {
    this.#base = base
    this.#token = token
    this.#ajv = new Ajv2020({ strict: false, validateFormats: false })
    this.#ajv.addSchema(document, 'api')
    this.operations = Object.entries((document as Document).paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { operationId: id, parameters = [], requestBody, responses }]) => {
        return { id, method, path, parameters, bodyTypes: Object.keys(requestBody?.content ?? {}), responses }
      }),
    )
  }

  operation(id: string): Operation {
    const found = this.operations.find((one) => one.id === id)
    if (!found) throw new Error(`there is no operation ${id}`)
    return found
  }

  /** Throws where the answer is not one of those that the document tells of. */
  async call(id: string, { params = {}, query = {}, headers = {}, body, raw }: Wish = {}): Promise<Told> {
    const operation = this.operation(id)
    const path = operation.path.replaceAll(/\{(.+?)\}/g, (_, name: string) => encodeURIComponent(params[name] ?? ''))
    const search = new URLSearchParams(query).toString()
    const content = raw ?? (body === undefined ? undefined : JSON.stringify(body))
    const told = await this.#send(operation.method, search ? `${path}?${search}` : path, content, {
      ...(this.#token && { authorization: `Bearer ${this.#token}` }),
      ...(content !== undefined && operation.bodyTypes[0] && { 'content-type': operation.bodyTypes[0] }),
      ...headers,
    })
    this.#check(operation, told)
    return told
  }

  close(): void {
    this.#agent.destroy()
  }

  async #send(
    method: string,
    path: string,
    content: string | undefined,
    headers: Record<string, string>,
  ): Promise<Told> {
    const asked = request(this.#base, { method: method.toUpperCase(), path, headers, agent: this.#agent })
    asked.end(content)
    const [response] = (await once(asked, 'response')) as [IncomingMessage]
    const said = await text(response)
    const isJson = /json/.test(response.headers['content-type'] ?? '')
    const json: unknown = isJson ? JSON.parse(said) : undefined
    return { status: response.statusCode ?? 0, headers: response.headers, text: said, json }
  }

  #check({ id, path, method, responses }: Operation, { status, headers, json, text }: Told): void {
    const type = headers['content-type']?.split(';')[0] ?? ''
    const named = `${status}` in responses ? `${status}` : 'default'
    const content = responses[named]?.content ?? {}
    if (named === 'default' && status < 400) throw new Error(`${id} answered ${status}, of which nothing is told`)
    if (Object.keys(content).length === 0 && text === '') return
    // A status that is told of may be a refusal as well: not ready, and not reachable.
    const where = type in content ? named : 'default'
    if (!(type in (responses[where]?.content ?? {}))) throw new Error(`${id} answered ${status} as ${type}: ${text}`)
    if (!type.includes('json')) return
    const pointer = ['paths', path, method, 'responses', where, 'content', type, 'schema'].map(
      (part) => `/${encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))}`,
    )
    // Compiled once for all that is told of there: a schema that only refers to it would be compiled with each answer.
    const isAsTold = this.#ajv.getSchema(`api#${pointer.join('')}`)
    if (!isAsTold) throw new Error(`of what ${id} answers with ${where} there is no schema`)
    if (!isAsTold(json)) {
      const why = this.#ajv.errorsText(isAsTold.errors)
      throw new Error(`${id} answered ${status} otherwise than told: ${why}: ${text.slice(0, 500)}`)
    }
  }
}
