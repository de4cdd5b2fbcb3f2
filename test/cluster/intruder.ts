/** Who tries what it may not: the same attempts, made by an agent in its run or by any other pod. */

export type Attempt =
  | { kind: 'connect'; host: string; port: number }
  | { kind: 'name'; host: string }
  | { kind: 'request'; url: string; method?: 'GET' | 'POST' }
  | { kind: 'bus'; host: string }

/** What came of each; `no answer` where nothing came back in time. */
export type Findings = Record<string, string>

const probe = String.raw`
const { setTimeout: sleep } = require('node:timers/promises')
const net = require('node:net'), tls = require('node:tls'), dgram = require('node:dgram')
const https = require('node:https'), http = require('node:http')

const inTime = (work) => Promise.race([work, sleep(5000, 'no answer')]).catch((error) => error.code ?? String(error))
const heard = (emitter, event) => new Promise((done, failed) => emitter.once(event, done).once('error', failed))

const attempts = {
  async connect({ host, port }) {
    await heard(net.connect(port, host), 'connect')
    return 'connected'
  },
  async name({ host }) {
    const labels = 'kubernetes.default.svc.cluster.local'.split('.').map((l) => String.fromCharCode(l.length) + l)
    const question = Buffer.concat([Buffer.from('000101000001000000000000', 'hex'), Buffer.from(labels.join('') + '\0'), Buffer.from('00010001', 'hex')])
    const socket = dgram.createSocket('udp4')
    socket.send(question, 53, host)
    await heard(socket, 'message')
    return 'answered'
  },
  async request({ url, method = 'GET' }) {
    const { request } = url.startsWith('https') ? https : http
    const asked = request(url, { method, rejectUnauthorized: false })
    asked.end()
    const { statusCode } = await heard(asked, 'response')
    return 'HTTP ' + statusCode
  },
  async bus({ host }) {
    const plain = net.connect(4222, host)
    const info = JSON.parse(String(await heard(plain, 'data')).slice('INFO '.length))
    const socket = info.tls_required ? tls.connect({ socket: plain, rejectUnauthorized: false }) : plain
    if (socket !== plain) await heard(socket, 'secureConnect')
    socket.write('CONNECT {"verbose":false}\r\nPING\r\n')
    return String(await heard(socket, 'data')).trim()
  },
}
const tryAll = async (all) => Object.fromEntries(
  await Promise.all(Object.entries(all).map(async ([name, one]) => [name, await inTime(attempts[one.kind](one))])),
)
`

/** For \`node -e\` in a run: its task are the attempts, its result what came of them. */
export const asAgent = `${probe}
const fs = require('node:fs')
async function main() {
  while (!fs.existsSync('/ipc/input/task.json')) await sleep(50)
  const { task } = JSON.parse(fs.readFileSync('/ipc/input/task.json', 'utf8'))
  const response = JSON.stringify(await tryAll(JSON.parse(task)))
  fs.writeFileSync('/ipc/output/result.tmp', JSON.stringify({ status: 'success', response }))
  fs.renameSync('/ipc/output/result.tmp', '/ipc/output/result.json')
}
main()
`

/** For \`node -e\` in any other pod, which says on its output what came of them. */
export const asBystander = (attempts: Record<string, Attempt>) => `${probe}
tryAll(${JSON.stringify(attempts)}).then((found) => console.log(JSON.stringify(found))).then(() => process.exit(0))
`
