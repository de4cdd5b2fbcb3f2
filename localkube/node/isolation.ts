/** Whether this machine can confine: bubblewrap is not looked for but tried, with every flag that containers need. */
import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

export type Isolation =
  | { kind: 'bubblewrap'; reason: string; bwrap: string; root: boolean }
  | { kind: 'none'; reason: string; root: boolean }

/** Tries it once, in some 10 ms. The reason is one sentence for a person. */
export async function detectIsolation(): Promise<Isolation> {
  const root = process.getuid?.() === 0
  const bwrap = onPath('bwrap')
  if (!bwrap) return { kind: 'none', reason: 'bubblewrap (bwrap) is not installed', root }
  const identity = { uid: 65534, gid: 65534, groups: [] }
  const inner = root ? [...dropTo(identity), 'true'] : ['true']
  const args = [
    ...namespaces({ root, network: 'own', identity }),
    ...['--ro-bind', '/', '/', '--proc', '/proc', '--perms', '1777', '--size', '4096', '--tmpfs', '/tmp'],
    ...['--remount-ro', '/'],
    ...inner,
  ]
  const failure = await new Promise<string | undefined>((resolve) => {
    execFile(bwrap, args, { timeout: 10_000 }, (error, _, stderr) =>
      resolve(error ? stderr.trim() || error.message : undefined),
    )
  })
  if (failure !== undefined) return { kind: 'none', reason: `bubblewrap does not work here: ${failure}`, root }
  return { kind: 'bubblewrap', reason: `confined containers run inside ${bwrap}`, bwrap, root }
}

export interface Identity {
  uid: number
  gid: number
  /** Supplementary groups. */
  groups: number[]
}

/** The namespaces of a container; `own` is a network of nothing but loopback. */
export function namespaces(options: { root: boolean; network: 'own' | 'host'; identity?: Identity }): string[] {
  const { root, network, identity } = options
  return [
    ...['--die-with-parent', '--new-session', '--unshare-pid', '--unshare-ipc'],
    ...(network === 'own' ? ['--unshare-net', '--unshare-uts', '--unshare-cgroup-try'] : []),
    // As root no user namespace: then uids are real, and setpriv needs a few capabilities to give up the rest.
    ...(root ? ['--cap-drop', 'ALL'] : ['--unshare-user']),
    ...(root && identity ? ['CAP_SETUID', 'CAP_SETGID', 'CAP_SETPCAP'].flatMap((c) => ['--cap-add', c]) : []),
    ...(!root && identity ? ['--uid', String(identity.uid), '--gid', String(identity.gid)] : []),
  ]
}

/** The first program inside, as root: takes the container's ids and gives up every way back. */
export function dropTo({ uid, gid, groups }: Identity): string[] {
  return [
    '/usr/bin/setpriv',
    `--reuid=${uid}`,
    `--regid=${gid}`,
    groups.length > 0 ? `--groups=${groups.join(',')}` : '--clear-groups',
    ...['--inh-caps=-all', '--bounding-set=-all', '--no-new-privs'],
  ]
}

function onPath(program: string): string | undefined {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    if (!folder.startsWith('/')) continue
    const path = join(folder, program)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not in this folder.
    }
  }
  return undefined
}
