import { type ChildProcess, spawn } from 'node:child_process'
import { openSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ClawError, errorMessage } from '#core/errors'
import { installationRoot } from './installation.ts'
import { defaultDataDir, makeFolder } from './standalone/data-folder.ts'
import { runningOn } from './standalone/lock.ts'
import type { UpMessage } from './up-message.ts'

export interface UpOptions {
  detach: boolean
  dataDir?: string
  port?: number
  unconfined: boolean
}

type Ready = Extract<UpMessage, { type: 'ready' }>

/** `k8sclaw up`: starts the platform on this machine and prints how to reach it. Resolves with the exit code. */
export async function up(options: UpOptions): Promise<number> {
  const dataDir = resolve(options.dataDir ?? defaultDataDir())
  const child = start(dataDir, options)
  const stop = () => child.kill('SIGTERM')
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop)
  const ready = await firstMessage(child, dataDir)
  process.stdout.write(welcome(ready, dataDir))
  if (options.detach) {
    child.unref()
    return 0
  }
  const code = await new Promise<number | null>((done) => child.on('exit', done))
  return code ?? 1
}

/** `k8sclaw down`: stops what runs on the data folder and waits until it is gone. */
export async function down(dataDirOption: string | undefined): Promise<number> {
  const dataDir = resolve(dataDirOption ?? defaultDataDir())
  const running = runningOn(dataDir)
  if (!running) {
    process.stdout.write(`nothing runs on ${dataDir}\n`)
    return 0
  }
  const { pid } = running
  process.kill(pid, 'SIGTERM')
  const deadline = Date.now() + 25_000
  while (running.isAlive()) {
    if (Date.now() > deadline)
      throw new ClawError('timeout', `pid ${pid} on ${dataDir} does not stop; end it with: kill -9 ${pid}`)
    await new Promise((done) => setTimeout(done, 50))
  }
  process.stdout.write(`stopped ${dataDir}\n`)
  return 0
}

function start(dataDir: string, options: UpOptions): ChildProcess {
  const root = installationRoot()
  const args = [join(root, 'dist', 'standalone.mjs'), '--root', root, '--data-dir', dataDir]
  if (options.port !== undefined) args.push('--port', String(options.port))
  if (options.unconfined) args.push('--unconfined')
  const log = openLog(dataDir)
  return spawn(process.execPath, args, { detached: true, stdio: ['ignore', log, log, 'ipc'] })
}

function openLog(dataDir: string): number {
  try {
    makeFolder(dataDir)
    return openSync(join(dataDir, 'platform.log'), 'a', 0o600)
  } catch (error) {
    throw new ClawError('invalid', `the data folder ${dataDir} cannot be written: ${errorMessage(error)}`, {
      cause: error,
      field: 'data-dir',
    })
  }
}

function firstMessage(child: ChildProcess, dataDir: string): Promise<Ready> {
  return new Promise((done, fail) => {
    child.once('message', (message) => {
      const told = message as UpMessage
      if (told.type === 'ready') done(told)
      else fail(new ClawError('unavailable', told.message))
    })
    child.once('error', (error) =>
      fail(new ClawError('unavailable', `cannot start: ${errorMessage(error)}`, { cause: error })),
    )
    child.once('exit', (code, signal) => {
      fail(
        new ClawError(
          'unavailable',
          `the platform ended with ${signal ?? code}; its log is ${join(dataDir, 'platform.log')}`,
        ),
      )
    })
  })
}

function welcome(ready: Ready, dataDir: string): string {
  const isolation = ready.isolation === 'none' ? `none (${ready.isolationReason})` : ready.isolation
  return [
    ...(ready.recovered
      ? [`note: the last k8sclaw on ${dataDir} was not stopped by \`down\`; its stale lock was taken over`]
      : []),
    `url: ${ready.url}`,
    `token: ${ready.token}`,
    `export KUBECONFIG=${ready.kubeconfig}`,
    `isolation: ${isolation}`,
    '',
    'Try next, after the export line:',
    '  kubectl apply -f config/samples/',
    "  bin/k8sclaw run 'Which system do you run on?' --instance sample --follow",
    '  kubectl get agentruns',
    `  bin/k8sclaw down --data-dir ${dataDir}`,
    '',
  ].join('\n')
}
