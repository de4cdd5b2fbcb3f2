import { mkdtemp, rm } from 'node:fs/promises'
import { Agent, request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { kubectl as findKubectl } from '../../build/kubectl.ts'
import { execute, type Finished } from '../support/platform.ts'

/** A Kubernetes API to hold to the suite. */
export interface Target {
  url: string
  caPem: string
  /** Of the group system:masters. */
  token: string
  /** A kubeconfig file of the same user. */
  kubeconfig: string
  close(): Promise<void>
}

// biome-ignore lint/suspicious/noExplicitAny: answers are read as the JSON that came, each test by its own expectations.
export type Json = any

export interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  text: string
  /** The body, where it is one JSON value. */
  json: Json
}

export interface RequestOptions {
  token?: string
  headers?: Record<string, string>
}

const patchTypes = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
}

/** The target as the suite sees it: raw HTTP, and an unmodified kubectl. It is there between `open` and `close`. */
export class Cluster {
  #target: Target | undefined
  #agent: Agent | undefined
  #cache = ''

  async open(start: () => Promise<Target>): Promise<void> {
    this.#target = await start()
    this.#agent = new Agent({ keepAlive: true, ca: this.#target.caPem })
    this.#cache = await mkdtemp(join(tmpdir(), 'k8sclaw-kubectl-'))
  }

  async close(): Promise<void> {
    this.#agent?.destroy()
    await this.#target?.close()
    if (this.#cache) await rm(this.#cache, { recursive: true, force: true })
  }

  get target(): Target {
    if (!this.#target) throw new Error('the server is not there yet')
    return this.#target
  }

  get(path: string, options?: RequestOptions): Promise<Answer> {
    return this.send('GET', path, undefined, options)
  }

  post(path: string, body: unknown, options?: RequestOptions): Promise<Answer> {
    return this.send('POST', path, body, options)
  }

  put(path: string, body: unknown, options?: RequestOptions): Promise<Answer> {
    return this.send('PUT', path, body, options)
  }

  patch(path: string, type: keyof typeof patchTypes, body: unknown, options: RequestOptions = {}): Promise<Answer> {
    const headers = { 'Content-Type': patchTypes[type], ...options.headers }
    return this.send('PATCH', path, body, { ...options, headers })
  }

  delete(path: string, body?: unknown, options?: RequestOptions): Promise<Answer> {
    return this.send('DELETE', path, body, options)
  }

  /** Creates what the test needs; throws what the server said where it refuses. */
  async make(path: string, body: unknown): Promise<Json> {
    const answer = await this.post(path, body)
    if (answer.status !== 201) throw new Error(`POST ${path}: ${answer.status} ${answer.text}`)
    return answer.json
  }

  async makeNamespace(name: string): Promise<void> {
    await this.make('/api/v1/namespaces', { metadata: { name } })
  }

  send(method: string, path: string, body: unknown, options: RequestOptions = {}): Promise<Answer> {
    const { url, token } = this.target
    const payload =
      body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
    const headers = {
      Authorization: `Bearer ${options.token ?? token}`,
      // Without its length Node sends the body of a DELETE so that a server takes it for the next request.
      ...(payload === undefined
        ? {}
        : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(payload) }),
      ...options.headers,
    }
    return new Promise((resolve, reject) => {
      const outgoing = request(url + path, { method, headers, agent: this.#agent }, (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString()
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json: parse(text) })
        })
      })
      outgoing.on('error', reject)
      outgoing.end(payload)
    })
  }

  /** The events of a watch that ends by itself; the path brings `timeoutSeconds`. */
  async watch(path: string): Promise<{ type: string; object: Json }[]> {
    const { text } = await this.get(path)
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as { type: string; object: Json })
  }

  /** What kubectl printed, on either stream; throws it where kubectl fails. */
  async kubectl(line: string | string[], ...documents: object[]): Promise<string> {
    const { code, stdout, stderr } = await this.tryKubectl(line, ...documents)
    if (code !== 0) throw new Error(stderr || stdout)
    return (stdout + stderr).trim()
  }

  /** What a kubectl that fails says. */
  async failingKubectl(line: string | string[], ...documents: object[]): Promise<string> {
    const { code, stdout, stderr } = await this.tryKubectl(line, ...documents)
    if (code === 0) throw new Error(`it succeeded: ${stdout}`)
    return (stderr + stdout).trim()
  }

  tryKubectl(line: string | string[], ...documents: object[]): Promise<Finished> {
    const args = typeof line === 'string' ? line.split(' ') : line
    const all = ['--kubeconfig', this.target.kubeconfig, '--cache-dir', this.#cache, ...args]
    return execute(findKubectl(), all, { input: documents.map((one) => stringify(one)).join('---\n') })
  }
}

function parse(text: string): Json {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // A watch, a log, or plain text.
  }
}
