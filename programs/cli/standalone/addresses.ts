import { createHash } from 'node:crypto'
import { createServer, type Server } from 'node:net'
import { ClawError } from '#core/errors'

/** The port of localkube's API on its own loopback address; the address, not the port, keeps platforms apart. */
export const kubePort = 6443

/**
 * Chooses the part 127.<octet>.0.0/16 for a data folder: the remembered one, else one derived from its path, else the
 * next that is free. Free means that nobody listens where its API would; the API itself settles a race by listening.
 */
export async function chooseOctet(path: string, remembered: number | undefined): Promise<number> {
  const derived = 2 + ((createHash('sha256').update(path).digest()[0] ?? 0) % 250)
  const first = remembered ?? derived
  for (let step = 0; step < 250; step++) {
    const octet = 2 + ((first - 2 + step) % 250)
    if (await isFree(`127.${octet}.0.1`, kubePort)) return octet
  }
  throw new ClawError('unavailable', 'every part of 127.0.0.0/8 is in use; stop another k8sclaw with `k8sclaw down`')
}

/** Whether one can listen there now. */
export async function isFree(host: string, port: number): Promise<boolean> {
  const server = createServer()
  const free = await listen(server, host, port).then(
    () => true,
    () => false,
  )
  await new Promise<void>((done) => server.close(() => done()))
  return free
}

export function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((done, fail) => {
    server.once('error', fail)
    server.listen(port, host, () => {
      server.off('error', fail)
      done()
    })
  })
}
