/** The /etc of confined containers: names for their uids, no resolver, nothing of this machine. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Pod } from './objects.ts'

/** Writes it into `folder`; one for all containers of the pod. */
export async function writeEtc(folder: string, pod: Pod, identities: { uid: number; gid: number }[]): Promise<void> {
  const seen = identities.filter(({ uid }) => uid !== 0 && uid !== 65534)
  const unique = [...new Map(seen.map((i) => [i.uid, i])).values()]
  const groups = [...new Set(unique.map((i) => i.gid))].filter((gid) => gid !== 0 && gid !== 65534)
  const aliases = (pod.spec.hostAliases ?? []).map(({ ip, hostnames }) => `${ip}\t${(hostnames ?? []).join(' ')}`)
  const files: Record<string, string[]> = {
    passwd: [
      'root:x:0:0:root:/root:/bin/sh',
      'nobody:x:65534:65534:nobody:/tmp:/bin/sh',
      ...unique.map(({ uid, gid }) => `user${uid}:x:${uid}:${gid}::/tmp:/bin/sh`),
    ],
    group: ['root:x:0:', 'nogroup:x:65534:', ...groups.map((gid) => `group${gid}:x:${gid}:`)],
    hosts: ['127.0.0.1\tlocalhost', `127.0.0.1\t${hostnameOf(pod)}`, ...aliases],
    hostname: [hostnameOf(pod)],
    'resolv.conf': [],
    'nsswitch.conf': ['passwd: files', 'group: files', 'hosts: files'],
  }
  await mkdir(folder, { recursive: true, mode: 0o755 })
  await Promise.all(
    Object.entries(files).map(([name, lines]) =>
      writeFile(join(folder, name), lines.map((line) => `${line}\n`).join(''), { mode: 0o644 }),
    ),
  )
}

/** A host name is at most 63 characters. */
export function hostnameOf(pod: Pod): string {
  return (pod.spec.hostname ?? pod.metadata.name).slice(0, 63).replace(/[.-]+$/, '')
}
