/**
 * The images of a node without a registry: `make docker-build` on root file systems of Debian's packages, and beside them
 * those of the bus, the names, the database and the first container of every pod. All are written as archives into one
 * folder.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { cacheFolder } from '../support/go-programs.ts'
import type { NodePrograms } from './programs.ts'

const root = resolve(import.meta.dirname, '../..')
const library = ['base-files', 'libc6', 'libstdc++6', 'libgcc-s1']
const shell = [...library, ...['bash', 'dash', 'coreutils', 'findutils', 'grep', 'sed', 'diffutils', 'python3']]
/** Of the Debian after it, which has pgvector for the PostgreSQL of the same version as config/postgres. */
const database = ['base-files', 'libc6', 'dash', 'coreutils', 'postgresql-17', 'postgresql-17-pgvector']
/** As config/postgres names it, so that its manifests are tried as they are. */
const databaseImage = 'pgvector/pgvector:pg17'
export const busImage = 'k8sclaw/nats:dev'
export const namesImage = 'k8sclaw/coredns:dev'
export const pauseImage = 'k8sclaw/pause:dev'

/** Returns the archives' paths. */
export function buildImages(folder: string, { services, pause }: NodePrograms): string[] {
  const context = join(folder, 'context')
  const archives = join(folder, 'archives')
  for (const path of [context, archives]) mkdirSync(path, { recursive: true })
  const configuration = join(folder, 'storage.conf')
  const storage = { driver: 'overlay', graphroot: join(folder, 'storage'), runroot: join(folder, 'run') }
  const lines = Object.entries(storage).map(([name, value]) => `${name} = "${value}"`)
  writeFileSync(configuration, ['[storage]', ...lines].join('\n'))
  const env = {
    ...process.env,
    CONTAINERS_STORAGE_CONF: configuration,
    BUILDAH_ISOLATION: 'chroot',
    // The layer that holds Node is the same in all images, and kept once.
    BUILDAH_LAYERS: 'true',
  }
  const run = (file: string, ...args: string[]) =>
    execFileSync(file, args, { cwd: root, env, stdio: ['ignore', 'ignore', 'inherit'] })
  const image = (name: string, ...lines: string[]) => {
    writeFileSync(join(context, 'Containerfile'), ['FROM scratch', ...lines].join('\n'))
    run('buildah', 'build', '--quiet', '--tag', `docker.io/${name}`, context)
  }
  const program = (name: string, from: string) => {
    copyFileSync(from, join(context, 'program'))
    image(name, 'COPY program /program', 'ENTRYPOINT ["/program"]')
  }
  for (const [name, packages] of Object.entries({ base: library, shell })) {
    copyFileSync(rootFileSystem(packages), join(context, `${name}.tar`))
    image(`k8sclaw/${name}:dev`, `ADD ${name}.tar /`)
  }
  program(pauseImage, join(pause, 'pause'))
  for (const [name, file] of [
    [busImage, 'nats-server'],
    [namesImage, 'coredns'],
  ] as const) {
    copyFileSync(join(services, file), join(context, file))
    image(name, `COPY ${file} /${file}`, `ENTRYPOINT ["/${file}"]`)
  }
  copyFileSync(rootFileSystem(database, 'trixie'), join(context, 'database.tar'))
  copyFileSync(join(import.meta.dirname, 'database', 'entrypoint.sh'), join(context, 'entrypoint.sh'))
  writeFileSync(join(context, 'passwd'), 'postgres:x:999:999::/var/lib/postgresql:/bin/sh\n')
  image(
    databaseImage,
    ...['ADD database.tar /', 'COPY passwd /etc/passwd', 'COPY entrypoint.sh /entrypoint.sh'],
    'ENV PATH=/usr/lib/postgresql/17/bin:/usr/bin LANG=C.UTF-8',
    'ENTRYPOINT ["/entrypoint.sh"]',
  )
  const said = execFileSync(process.execPath, ['build/images.ts'], {
    cwd: root,
    env: {
      ...env,
      CONTAINER_TOOL: 'buildah',
      IMAGE_PREFIX: 'docker.io/k8sclaw',
      BASE: 'docker.io/k8sclaw/base:dev',
      SHELL_BASE: 'docker.io/k8sclaw/shell:dev',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  })
  // It says each image that it made, and its size.
  const platform = [...said.matchAll(/^docker\.io\/(\S+) /gm)].map(([, name = '']) => name)
  const names = [...platform, busImage, namesImage, pauseImage, databaseImage]
  return names.map((name) => {
    const archive = join(archives, `${name.replaceAll(/[/:]/g, '-')}.tar`)
    run('buildah', 'push', '--quiet', `docker.io/${name}`, `oci-archive:${archive}:docker.io/${name}`)
    return archive
  })
}

/** Packages unpacked, and nothing of them run; kept from one time to the next. */
function rootFileSystem(packages: string[], suite = 'bookworm'): string {
  const hash = createHash('sha256')
    .update([suite, ...packages].join())
    .digest('hex')
    .slice(0, 12)
  const kept = join(cacheFolder(), `debian-${hash}.tar`)
  if (existsSync(kept)) return kept
  mkdirSync(cacheFolder(), { recursive: true })
  const unfinished = `${kept}.${process.pid}`
  const args = ['--variant=extract', '--mode=root', '--format=tar', `--include=${packages.join()}`]
  execFileSync('mmdebstrap', [...args, suite, unfinished], { stdio: ['ignore', 'ignore', 'pipe'] })
  renameSync(unfinished, kept)
  return kept
}
