/** A channel's own program as a process, with an identity endpoint that signs for it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { expect } from 'vitest'
import { type ChannelAddress, identityRequest, signBusUser } from '#core/identity'
import type { TestNats } from '../../test/support/nats.ts'

/** Whose channel the program is. */
export const channel: ChannelAddress = { namespace: 'team', instance: 'helper', channel: 'chat' }

/** The program, whose environment is what a pod has and what the test names. */
export class Rig {
  readonly #endpoint: Server
  readonly #folder: string
  readonly #program: string
  readonly #env: Record<string, string>
  #child: ChildProcess | undefined
  #output = ''

  private constructor(endpoint: Server, folder: string, program: string, env: Record<string, string>) {
    this.#endpoint = endpoint
    this.#folder = folder
    this.#program = program
    this.#env = env
  }

  static async make(nats: TestNats, program: string, env: Record<string, string>): Promise<Rig> {
    const answer = (asked: unknown): string => {
      const { userPublicKey } = identityRequest.parse(asked)
      const expiresAt = new Date(Date.now() + 3_600_000)
      const identity = { kind: 'channel', channel } as const
      const busJwt = signBusUser({ keys: nats.keys, userPublicKey, name: 'channel', identity, expiresAt })
      return JSON.stringify({ busJwt, expiresAt: expiresAt.toISOString() })
    }
    const endpoint = createServer((request, response) => {
      json(request).then(
        (asked) => response.end(answer(asked)),
        () => response.destroy(),
      )
    })
    endpoint.listen(0, '127.0.0.1')
    await once(endpoint, 'listening')
    const folder = await mkdtemp(join(tmpdir(), 'k8sclaw-channel-'))
    await writeFile(join(folder, 'token'), 'of the pod')
    const { port } = endpoint.address() as AddressInfo
    return new Rig(endpoint, folder, program, {
      K8SCLAW_NAMESPACE: channel.namespace,
      INSTANCE_NAME: channel.instance,
      CHANNEL_NAME: channel.channel,
      EVENT_BUS_URL: nats.url,
      K8SCLAW_IDENTITY_URL: `http://127.0.0.1:${port}`,
      K8SCLAW_TOKEN_FILE: join(folder, 'token'),
      K8SCLAW_LISTEN: '127.0.0.1:0',
      ...env,
    })
  }

  /** Starts the program; gives what it has said once it serves or has ended. */
  async start(more: Record<string, string> = {}): Promise<string> {
    // Where what it is compiled to may be kept is no part of what a test says of it (build/test.ts).
    const { PATH, HOME, NODE_COMPILE_CACHE } = process.env
    const child = spawn(process.execPath, [this.#program], {
      env: { PATH, HOME, NODE_COMPILE_CACHE, ...this.#env, ...more },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.#child = child
    this.#output = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#output += chunk.toString()
    })
    await expect
      .poll(() => this.#output.includes('"msg":"serving"') || child.exitCode !== null, { timeout: 30_000 })
      .toBe(true)
    return this.#output
  }

  async said(message: string): Promise<void> {
    await expect.poll(() => this.#output.includes(`"msg":"${message}"`), { timeout: 45_000, interval: 25 }).toBe(true)
  }

  async exited(): Promise<number | null> {
    const child = this.#child
    if (child && child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    return child?.exitCode ?? null
  }

  /** The program stands still, and what comes for it waits. */
  pause(): void {
    this.#child?.kill('SIGSTOP')
  }

  resume(): void {
    this.#child?.kill('SIGCONT')
  }

  async kill9(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await this.exited()
  }

  async stop(): Promise<number | null> {
    this.#child?.kill('SIGTERM')
    return await this.exited()
  }

  async close(): Promise<void> {
    await this.kill9()
    this.#endpoint.closeAllConnections()
    this.#endpoint.close()
    await rm(this.#folder, { recursive: true, force: true })
  }
}
