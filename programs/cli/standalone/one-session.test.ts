import { once } from 'node:events'
import { connect } from 'node:net'
import { PGlite } from '@electric-sql/pglite'
import { Client, Pool } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type OneSession, serveOneSession } from './one-session.ts'

let db: PGlite
let server: OneSession
let connection: { host: string; port: number; user: string; database: string }
beforeAll(async () => {
  db = await PGlite.create()
  server = await serveOneSession({ db, host: '127.0.0.1', port: 0, maxConnections: 32 })
  connection = { host: '127.0.0.1', port: server.port, user: 'postgres', database: 'postgres' }
}, 60_000)
afterAll(async () => {
  await server?.close()
  await db?.close()
})

test('questions of many connections at once are each answered with what was asked', async () => {
  const pool = new Pool({ ...connection, max: 16 })
  const asked = Array.from({ length: 400 }, (_, i) => i)
  const answers = await Promise.all(
    asked.map(async (i) => {
      const of = i % 3
      const texts = [
        'select $1::int as a',
        'select $1::int as a, $2::text as b',
        'select $1::int as a, $2::text as b, $3::text',
      ]
      const { rows } = await pool.query<{ a: number }>(texts[of] ?? '', [i, 'b', 'c'].slice(0, of + 1))
      return rows[0]?.a
    }),
  )
  expect(answers).toEqual(asked)
  await pool.end()
})

test('a transaction is met by nobody else, and one whose connection ends is rolled back', async () => {
  const [one, two] = [new Client(connection), new Client(connection)]
  await Promise.all([one.connect(), two.connect()])
  one.on('error', () => {})
  await one.query('create table t (x int)')
  await one.query('begin')
  await one.query('insert into t values ($1)', [1])
  const waiting = two.query<{ n: number }>('select count(*)::int as n from t')
  await one.query('insert into t values ($1)', [2])
  one.connection.stream.destroy()
  expect((await waiting).rows).toEqual([{ n: 0 }])
  await two.end()
})

test('a question that fails, or that is never finished, holds nobody up', async () => {
  const client = new Client(connection)
  await client.connect()
  await expect(client.query('select $1::int', ['x'])).rejects.toThrow('invalid input')
  await expect(client.query('nonsense')).rejects.toThrow('syntax')
  const startup = Buffer.from('\0\0\0\x17\0\x03\0\0user\0postgres\0\0', 'latin1')
  startup.writeUInt32BE(startup.length, 0)
  const parse = Buffer.from('P\0\0\0\0\0select 1\0\0\0', 'latin1')
  parse.writeUInt32BE(parse.length - 1, 1)
  const half = connect(connection.port, connection.host)
  half.write(startup)
  await once(half, 'data')
  half.write(Buffer.concat([parse, Buffer.from('H\0\0\0\x04', 'latin1')]))
  await once(half, 'data')
  const waiting = client.query('select 7 as seven')
  half.destroy()
  expect((await waiting).rows).toEqual([{ seven: 7 }])
  for (const bad of [Buffer.from('\xff\xff\xff\xff\0\0\0\0', 'latin1'), Buffer.from('\0\0\0\x01')]) {
    const socket = connect(connection.port, connection.host)
    socket.on('error', () => {})
    socket.write(bad)
    await once(socket, 'close')
  }
  expect((await client.query('select 8 as eight')).rows).toEqual([{ eight: 8 }])
  await client.end()
})

test('who does not know the password learns nothing and keeps nobody from the session', async () => {
  const guarded = await serveOneSession({ db, host: '127.0.0.1', port: 0, password: 'right', maxConnections: 32 })
  const at = { ...connection, port: guarded.port }
  try {
    for (const password of ['wrong', '', 'right\0', 'righ', 'right '])
      await expect(new Client({ ...at, password }).connect()).rejects.toThrow(/password/)
    const startup = Buffer.from('\0\0\0\x17\0\x03\0\0user\0postgres\0\0', 'latin1')
    startup.writeUInt32BE(startup.length, 0)
    const said = async (...messages: Buffer[]) => {
      const socket = connect(at.port, at.host)
      socket.on('error', () => {})
      let text = ''
      socket.on('data', (bytes: Buffer) => (text += bytes.toString('latin1')))
      socket.write(Buffer.concat(messages))
      await once(socket, 'close')
      return text
    }
    const query = Buffer.from('Q\0\0\0\x0dselect 7\0', 'latin1')
    const answer = await said(startup, query)
    expect(answer.slice(0, 10)).toBe('R\0\0\0\x08\0\0\0\x03E')
    expect(answer.endsWith('password authentication failed\0\0')).toBe(true)
    expect(await said(startup, Buffer.from('p\xff\xff\xff\x00', 'latin1'))).toBe('R\0\0\0\x08\0\0\0\x03')
    const right = new Client({ ...at, password: 'right' })
    await right.connect()
    expect((await right.query('select 7 as seven')).rows).toEqual([{ seven: 7 }])
    await right.end()
  } finally {
    await guarded.close()
  }
})
