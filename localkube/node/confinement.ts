/** The options of bubblewrap for a container: what it sees of this machine. */
import { existsSync, lstatSync, readdirSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { type Identity, namespaces } from './isolation.ts'
import { holderOf, type Mount } from './mounts.ts'

export interface Confinement {
  root: boolean
  identity: Identity | undefined
  hostname: string
  /** The folder of the generated /etc. */
  etc: string
  mounts: Mount[]
  workingDir: string
  /** Of a confined container; it has one of its own unless told. */
  network?: 'own' | 'host'
}

/** A tmpfs that a confined container finds at /tmp where no volume is mounted there. */
const tmpBytes = 256 * 1024 * 1024

/** Parts of this machine's /etc that programs need and that say nothing about the machine's user. */
const sharedEtc = [
  '/etc/alternatives',
  '/etc/ld.so.cache',
  '/etc/ld.so.conf',
  '/etc/ld.so.conf.d',
  '/etc/localtime',
  '/etc/ssl/certs',
  '/etc/ssl/openssl.cnf',
  '/etc/ca-certificates.conf',
]
/** What in /proc is the whole machine's and its root may write, as far as bubblewrap leaves it uncovered. */
const kernelSettings = ['sys', 'sysrq-trigger', 'fs', 'acpi', 'scsi', 'mtrr', 'pressure'].map((name) => `/proc/${name}`)
const generatedEtc = ['passwd', 'group', 'hosts', 'hostname', 'resolv.conf', 'nsswitch.conf']

/** Everything a confined container sees: programs, a small /etc, its own /proc, /dev and /tmp, and its mounts. */
export function confinedArgs(confinement: Confinement): string[] {
  const { root, identity, hostname, etc, mounts, workingDir, network = 'own' } = confinement
  const args = namespaces({ root, network, ...(identity && { identity }) })
  if (network === 'own') args.push('--hostname', hostname)
  for (const folder of parentFolders(mounts)) args.push('--dir', folder)
  args.push('--ro-bind', '/usr', '/usr')
  for (const name of ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32']) {
    const path = `/${name}`
    if (!existsSync(path)) continue
    if (lstatSync(path).isSymbolicLink()) args.push('--symlink', readlinkSync(path), path)
    else args.push('--ro-bind', path, path)
  }
  for (const path of sharedEtc) args.push('--ro-bind-try', path, path)
  for (const name of generatedEtc) args.push('--ro-bind', `${etc}/${name}`, `/etc/${name}`)
  args.push('--proc', '/proc', ...devices())
  // Where the node is root, uid 0 inside is this machine's: it needs no privilege to write what belongs to it there.
  if (root) for (const path of kernelSettings) args.push('--ro-bind-try', path, path)
  if (!mounts.some((m) => m.target === '/tmp'))
    args.push('--perms', '1777', '--size', String(tmpBytes), '--tmpfs', '/tmp')
  args.push('--symlink', '../tmp', '/var/tmp')
  for (const mount of mounts) args.push(mount.readOnly ? '--ro-bind' : '--bind', mount.source, mount.target)
  args.push('--remount-ro', '/', '--chdir', workingDir)
  return args
}

/**
 * A container that is not confined sees the whole machine and its network; bubblewrap still gives it its own process
 * namespace (so that all of it ends together), its uid, and its mounts below a folder of this machine that is empty:
 * the data folder itself may lie where that uid cannot go.
 */
export function unconfinedArgs(confinement: Confinement): { args: string[]; paths: Map<string, string> } {
  const { root, identity, mounts, workingDir } = confinement
  const base = emptyFolder()
  const paths = new Map<string, string>()
  const binds: string[] = []
  for (const [index, mount] of mounts.entries()) {
    const holder = holderOf(mount.target, mounts)
    const target = holder
      ? `${paths.get(holder.target) ?? ''}${mount.target.slice(holder.target.length)}`
      : // The name stays, since a program may go by its ending.
        `${base}/${index}/${basename(mount.target)}`
    paths.set(mount.target, target)
    if (!holder) binds.push('--dir', `${base}/${index}`)
    binds.push(mount.readOnly ? '--ro-bind' : '--bind', mount.source, target)
  }
  const args = [...namespaces({ root, network: 'host', ...(identity && { identity }) }), '--dev-bind', '/', '/']
  args.push('--proc', '/proc')
  if (binds.length > 0) args.push('--tmpfs', base, ...binds)
  args.push('--chdir', workingDir)
  return { args, paths }
}

/**
 * A /dev without terminals. bubblewrap's own would need a second user namespace where the node is not root, and nobody
 * could enter the container any more to run its probes.
 */
function devices(): string[] {
  const nodes = ['null', 'zero', 'full', 'random', 'urandom'].map((name) => `/dev/${name}`)
  const links = ['fd', 'fd/0', 'fd/1', 'fd/2'].map((target) => `/proc/self/${target}`)
  const names = ['fd', 'stdin', 'stdout', 'stderr']
  return [
    ...['--tmpfs', '/dev', '--perms', '1777', '--size', String(tmpBytes), '--tmpfs', '/dev/shm'],
    ...nodes.flatMap((path) => ['--dev-bind', path, path]),
    ...names.flatMap((name, i) => ['--symlink', links[i] ?? '', `/dev/${name}`]),
    ...['--remount-ro', '/dev'],
  ]
}

/** What bubblewrap makes by itself on the way to a mount is closed to other users, so the way is made before. */
function parentFolders(mounts: Mount[]): string[] {
  const targets = ['/etc/ssl/certs', '/run/localkube/node', '/var/tmp', ...mounts.map((m) => m.target)]
  const folders = new Set<string>()
  for (const target of targets) {
    const outer = mounts.find((m) => !holderOf(m.target, mounts) && target.startsWith(`${m.target}/`))
    const names = (outer?.target ?? target).split('/').slice(1, -1)
    for (let depth = 1; depth <= names.length; depth++) folders.add(`/${names.slice(0, depth).join('/')}`)
  }
  return [...folders]
}

/** A folder that every Debian has and nothing is in, so that hiding it hides nothing. */
function emptyFolder(): string {
  for (const folder of ['/mnt', '/media', '/srv', '/opt']) {
    try {
      if (lstatSync(folder).isDirectory() && readdirSync(folder).length === 0) return folder
    } catch {
      // Not on this machine.
    }
  }
  throw new Error('none of /mnt, /media, /srv and /opt is an empty folder; one is needed to mount volumes below')
}
