/**
 * The programs of a Kubernetes control plane for tests: those of KUBEBUILDER_ASSETS, or our own build of upstream's
 * modules (main.go), made once for each state of this folder and kept in the user's cache directory in that same layout.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

export interface Assets {
  /** Holds kube-apiserver and etcd. */
  folder: string
  /** kube-controller-manager is there too; the usual KUBEBUILDER_ASSETS lack it. */
  hasControllerManager: boolean
}

const source = import.meta.dirname
const programs = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy']

/** Where the programs are, after building them where that is needed; undefined where they neither are nor can be built. */
export function kubernetesAssets(say: (sentence: string) => void = () => undefined): Assets | undefined {
  const given = process.env.KUBEBUILDER_ASSETS
  if (given) {
    const missing = ['etcd', 'kube-apiserver'].filter((name) => !existsSync(join(given, name)))
    if (missing.length > 0) throw new Error(`KUBEBUILDER_ASSETS (${given}) lacks ${missing.join(' and ')}`)
    return assetsIn(given)
  }
  const folder = cacheFolder()
  if (existsSync(folder)) return assetsIn(folder)
  // Asked in the module's folder: a Go too old for it, that may not fetch a newer one, fails here already.
  if (spawnSync('go', ['version'], { cwd: source }).status !== 0) return undefined
  say(`building Kubernetes ${version()} into ${folder}; this takes some minutes, once`)
  build(folder)
  return assetsIn(folder)
}

function assetsIn(folder: string): Assets {
  return { folder, hasControllerManager: existsSync(join(folder, 'kube-controller-manager')) }
}

function cacheFolder(): string {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
  const hash = createHash('sha256')
  for (const file of ['go.mod', 'go.sum', 'main.go']) hash.update(readFileSync(join(source, file)))
  return join(cache, 'k8sclaw', `kubernetes-${version()}-${hash.digest('hex').slice(0, 12)}`)
}

function version(): string {
  const found = /^\tk8s\.io\/kubernetes (v\S+)$/m.exec(readFileSync(join(source, 'go.mod'), 'utf8'))?.[1]
  if (!found) throw new Error('test/kubernetes/go.mod requires no k8s.io/kubernetes')
  return found
}

/** Builds beside the folder and renames, so that a folder that exists is whole. */
function build(folder: string): void {
  const parent = join(folder, '..')
  mkdirSync(parent, { recursive: true })
  const unfinished = mkdtempSync(join(parent, '.building-'))
  try {
    const [major, minor] = version().slice(1).split('.')
    const stamps = { gitVersion: version(), gitMajor: major, gitMinor: minor }
    const stamped = Object.entries(stamps).map(([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`)
    const flags = ['-p', '2', '-trimpath', '-buildvcs=false', '-ldflags', ['-s -w', ...stamped].join(' ')]
    const go = spawnSync('nice', ['-n', '19', 'go', 'build', ...flags, '-o', join(unfinished, 'kubernetes'), '.'], {
      cwd: source,
      stdio: ['ignore', 'ignore', 'pipe'],
      encoding: 'utf8',
      env: { ...process.env, CGO_ENABLED: '0' },
    })
    if (go.status !== 0) throw new Error(`Kubernetes could not be built:\n${go.stderr}`)
    for (const name of programs) symlinkSync('kubernetes', join(unfinished, name))
    renameSync(unfinished, folder)
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true })
    // Somebody else may have built it meanwhile.
    if (!existsSync(folder)) throw error
  }
}
