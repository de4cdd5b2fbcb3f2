/**
 * The programs of a Kubernetes control plane for tests: those of KUBEBUILDER_ASSETS, or our own build of upstream's
 * modules (main.go), made once for each state of this folder and kept in the user's cache directory in that same layout.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { goPrograms } from '../support/go-programs.ts'

export interface Assets {
  /** Holds kube-apiserver and etcd. */
  folder: string
  /** kube-controller-manager is there too; the usual KUBEBUILDER_ASSETS lack it. */
  hasControllerManager: boolean
}

const source = import.meta.dirname
const programs = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy']

/** Where the programs are, after building them where that is needed; undefined where they neither are nor can be built. */
export function kubernetesAssets(say?: (sentence: string) => void): Assets | undefined {
  const given = process.env.KUBEBUILDER_ASSETS
  if (given) {
    const missing = ['etcd', 'kube-apiserver'].filter((name) => !existsSync(join(given, name)))
    if (missing.length > 0) throw new Error(`KUBEBUILDER_ASSETS (${given}) lacks ${missing.join(' and ')}`)
    return assetsIn(given)
  }
  const version = kubernetesVersion()
  const [major, minor] = version.slice(1).split('.')
  const said = { gitVersion: version, gitMajor: major, gitMinor: minor }
  const stamps = Object.entries(said).map(([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`)
  const folder = goPrograms({ source, programs, version, stamps }, say)
  return folder === undefined ? undefined : assetsIn(folder)
}

function assetsIn(folder: string): Assets {
  return { folder, hasControllerManager: existsSync(join(folder, 'kube-controller-manager')) }
}

function kubernetesVersion(): string {
  const found = /^\tk8s\.io\/kubernetes (v\S+)$/m.exec(readFileSync(join(source, 'go.mod'), 'utf8'))?.[1]
  if (!found) throw new Error('test/kubernetes/go.mod requires no k8s.io/kubernetes')
  return found
}
