/**
 * Databases for tests: PGlite behind its socket everywhere, and a PostgreSQL server of its own where programs of one or
 * DATABASE_URL are there. PGlite is one session: what locks and races it cannot show, so such tests ask `concurrent`.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, chownSync, copyFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { PGlite } from '@electric-sql/pglite'
import { vector } from '@electric-sql/pglite-pgvector'
import { Client } from 'pg'
import { serveOneSession } from '../../programs/cli/standalone/one-session.ts'
import { freePort } from './ports.ts'
import { debianPostgres, hasVectors, postgresWithVectors } from './postgres-programs.ts'
import type { TestCertificate } from './tls.ts'

export interface TestDatabase {
  url: string
  /** Forgets everything, so that the next test begins with an empty database. */
  empty(): Promise<void>
  close(): Promise<void>
}

export interface DatabaseKind {
  name: string
  concurrent: boolean
  start(): Promise<TestDatabase>
}

/** The databases to run a suite on; the server has pgvector where that can be had. */
export const databases: readonly DatabaseKind[] = [
  { name: 'PGlite', concurrent: false, start: startPGlite },
  ...realServers(),
]

/** A server that vectors cannot be kept on, where there is one. */
export function databasesWithoutVectors(): DatabaseKind[] {
  const programs = debianPostgres()
  if (process.env.DATABASE_URL || !programs || hasVectors(programs)) return []
  return [{ name: 'PostgreSQL without pgvector', concurrent: true, start: () => startPostgres(programs) }]
}

function realServers(): DatabaseKind[] {
  const given = process.env.DATABASE_URL
  if (given) return [{ name: 'the server of DATABASE_URL', concurrent: true, start: () => onServer(given) }]
  const programs = postgresPrograms()
  return programs ? [{ name: 'PostgreSQL', concurrent: true, start: () => startPostgres(programs) }] : []
}

/** The folder of the programs of a server, one with pgvector before one without. */
export function postgresPrograms(): string | undefined {
  return postgresWithVectors() ?? debianPostgres()
}

async function startPGlite(): Promise<TestDatabase> {
  const db = await PGlite.create({ extensions: { vector } })
  const server = await serveOneSession({ db, host: '127.0.0.1', port: 0, maxConnections: 32 })
  const url = `postgres://postgres@127.0.0.1:${server.port}/postgres`
  return {
    url,
    empty: () => emptied(url),
    async close() {
      await server.close()
      await db.close()
    },
  }
}

/** A database of its own on a server that somebody else runs. */
async function onServer(server: string): Promise<TestDatabase> {
  const name = `k8sclaw_test_${randomBytes(6).toString('hex')}`
  await query(server, `create database ${name}`)
  const url = new URL(server)
  url.pathname = `/${name}`
  return {
    url: url.href,
    empty: () => emptied(url.href),
    close: () => query(server, `drop database ${name} with (force)`),
  }
}

/** A server of these programs, with TLS where it is given a certificate, and then refusing whoever comes without. */
export async function startPostgres(programs: string, tls?: TestCertificate): Promise<TestDatabase> {
  const folder = await mkdtemp(join(tmpdir(), 'k8sclaw-postgres-'))
  // PostgreSQL refuses to run as root.
  const nobody = 65534
  const identity: { uid?: number; gid?: number } = process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {}
  if (identity.uid !== undefined) chownSync(folder, nobody, nobody)
  const data = join(folder, 'data')
  execFileSync(join(programs, 'initdb'), ['-D', data, '-U', 'postgres', '--auth=trust', '--no-sync'], {
    ...identity,
    cwd: folder,
    stdio: 'ignore',
  })
  const port = await freePort()
  const settings = {
    ...{ port: String(port), listen_addresses: '127.0.0.1', unix_socket_directories: folder, fsync: 'off' },
    ...(tls && secured(tls, data, identity.uid)),
  }
  const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const server = spawn(join(programs, 'postgres'), ['-D', data, ...options], {
    ...identity,
    cwd: folder,
    stdio: 'ignore',
  })
  const plain = `postgres://postgres@127.0.0.1:${port}/postgres`
  const url = tls ? `${plain}?sslmode=verify-full&sslrootcert=${tls.caFile}` : plain
  const close = async () => {
    await ended(server)
    await rm(folder, { recursive: true, force: true })
  }
  try {
    await ready(url, server)
  } catch (error) {
    await close()
    throw error
  }
  return { url, empty: () => emptied(url), close }
}

function secured(tls: TestCertificate, data: string, owner: number | undefined): Record<string, string> {
  // It takes a key that is its own and nobody else's.
  for (const file of ['tls.crt', 'tls.key']) {
    copyFileSync(join(tls.dir, file), join(data, file))
    chmodSync(join(data, file), 0o600)
    if (owner !== undefined) chownSync(join(data, file), owner, owner)
  }
  writeFileSync(join(data, 'pg_hba.conf'), 'hostssl all all 127.0.0.1/32 trust\n')
  return { ssl: 'on', ssl_cert_file: 'tls.crt', ssl_key_file: 'tls.key', ssl_min_protocol_version: 'TLSv1.3' }
}

async function ready(url: string, server: ChildProcess): Promise<void> {
  for (const deadline = Date.now() + 60_000; ; await sleep(50)) {
    try {
      return await query(url, 'select 1')
    } catch (error) {
      if (server.exitCode !== null || Date.now() > deadline) throw error
    }
  }
}

async function ended(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return
  const exit = new Promise((resolve) => server.once('exit', resolve))
  // Immediate shutdown: nothing that it holds is worth more.
  server.kill('SIGQUIT')
  await exit
}

async function emptied(url: string): Promise<void> {
  await query(url, 'drop schema public cascade; create schema public')
}

async function query(url: string, text: string): Promise<void> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
  await client.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}
