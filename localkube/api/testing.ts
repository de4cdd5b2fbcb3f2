/** A server of its own for a test file, and the ways to talk to it. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ApiOptions, type ApiServer, startApi } from './index.ts'

export interface HttpAnswer {
  status: number
  headers: Record<string, string | string[] | undefined>
  text: string
  json: Record<string, unknown>
}

export interface HttpOptions {
  method?: string
  body?: unknown
  token?: string | null
  headers?: Record<string, string>
}

export interface TestApi {
  api: ApiServer
  dataDir: string
  http(path: string, options?: HttpOptions): Promise<HttpAnswer>
  kubectl(args: string[], input?: string): Promise<{ code: number; stdout: string; stderr: string }>
  close(): Promise<void>
}

/** Starts a server on a free port with an empty folder; `close` leaves nothing behind. */
export async function startTestApi(options: Partial<ApiOptions> = {}): Promise<TestApi> {
  const dataDir = await mkdtemp(join(tmpdir(), 'localkube-api-'))
  const api = await startApi({ dataDir, address: '127.0.0.1', port: 0, serviceAddress: '127.0.0.1', ...options })
  const kubeconfig = join(dataDir, 'kubeconfig')
  await writeFile(kubeconfig, api.kubeconfig())
  const agent = new Agent({ keepAlive: true, ca: api.caPem })
  return {
    api,
    dataDir,
    http: (path, how = {}) => call(api, agent, path, how),
    kubectl: (args, input) => kubectl(kubeconfig, join(dataDir, 'cache'), args, input),
    async close() {
      agent.destroy()
      await api.close()
      await rm(dataDir, { recursive: true })
    },
  }
}

function call(api: ApiServer, agent: Agent, path: string, options: HttpOptions): Promise<HttpAnswer> {
  const { method = 'GET', body, token = api.adminToken } = options
  const payload = body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
  const headers = {
    ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
    ...(payload === undefined ? {} : { 'Content-Type': 'application/json' }),
    ...options.headers,
  }
  return new Promise((resolve, reject) => {
    const outgoing = request(api.url + path, { method, headers, agent }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        const isJson = response.headers['content-type']?.startsWith('application/json') && text.startsWith('{')
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text,
          json: isJson && !text.includes('}\n{') ? (JSON.parse(text) as Record<string, unknown>) : {},
        })
      })
    })
    outgoing.on('error', reject)
    outgoing.end(payload)
  })
}

/** `make test` names a recent one. */
const kubectlProgram = process.env.KUBECTL ?? 'kubectl'

function kubectl(
  kubeconfig: string,
  cache: string,
  args: string[],
  input?: string,
): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const all = ['--kubeconfig', kubeconfig, '--cache-dir', cache, ...args]
    const child = execFile(kubectlProgram, all, { timeout: 20_000 }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? 1 : 0, stdout, stderr })
    })
    child.stdin?.end(input ?? '')
  })
}

export const widgets = { group: 'example.io', version: 'v1', plural: 'widgets' }
