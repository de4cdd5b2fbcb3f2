/** What a node needs besides Kubernetes: the programs that are built, and the Debian packages of the rest. */
import { execFileSync, spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { kubernetesAssets } from '../kubernetes/assets.ts'
import { goPrograms } from '../support/go-programs.ts'

export interface NodePrograms {
  /** etcd, kube-apiserver, kubelet and the others. */
  kubernetes: string
  /** cilium-agent and cilium-cni: the network of pods, and who enforces NetworkPolicies. */
  network: string
  /** Sources that cilium-agent compiles for this machine's kernel, and definitions of its kinds. */
  networkSource: string
  /** coredns and nats-server, of which images are made. */
  services: string
  pause: string
}

const folder = (name: string) => resolve(import.meta.dirname, name)
const tools = [
  ...['containerd', 'runc', '/usr/lib/cni/loopback', 'nft', 'iptables', 'conntrack', 'ip', 'unshare', 'nsenter'],
  ...['clang-19', 'buildah', 'mmdebstrap'],
]

/** What keeps this machine from being a node, in a sentence. */
export function whyNoNode(): string | undefined {
  if (process.platform !== 'linux') return 'a node needs Linux'
  if (process.getuid?.() !== 0) return 'a node needs root: run it so, or set KUBECONFIG to use a cluster'
  const script = resolve(import.meta.dirname, '../../build/packages.sh')
  if (spawnSync('sh', [script, ...tools], { stdio: 'inherit' }).status !== 0) return 'tools are missing'
  return spawnSync('go', ['version']).status === 0 ? undefined : 'a node needs Go 1.26, to build its programs once'
}

export function nodePrograms(say: (sentence: string) => void = () => undefined): NodePrograms {
  const built = (name: string, programs: string[], version?: string): string => {
    const where = goPrograms({ source: folder(name), programs, ...(version ? { version } : {}) }, say)
    if (where === undefined) throw new Error(`test/cluster/${name} cannot be built: its Go is missing`)
    return where
  }
  const kubernetes = kubernetesAssets(say)?.folder
  if (kubernetes === undefined) throw new Error('Kubernetes cannot be built: its Go is missing')
  const list = ['mod', 'download', '-json', 'github.com/cilium/cilium']
  const found = execFileSync('go', list, { cwd: folder('network'), encoding: 'utf8' })
  return {
    kubernetes,
    network: built('network', ['cilium-agent', 'cilium-cni']),
    networkSource: (JSON.parse(found) as { Dir: string }).Dir,
    services: built('services', ['coredns', 'nats-server']),
    pause: built('pause', ['pause']),
  }
}
