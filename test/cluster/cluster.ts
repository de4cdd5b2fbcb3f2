/** The cluster that the tests use: that of KUBECONFIG, or this machine as its only node; with the platform deployed. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { stringify } from 'yaml'
import { type Kube, loadKube } from '#core/kube'
import { execute, type Finished } from '../support/platform.ts'
import { busImage } from './images.ts'
import { startTestNode, type TestNode } from './node.ts'

const root = resolve(import.meta.dirname, '../..')

export interface TestCluster {
  /** Where this machine is the node, and its programs can be stopped. */
  node: TestNode | undefined
  /** kubectl; throws with its message when it fails. */
  kubectl(args: string[], input?: string): Promise<string>
  /** kubectl, whatever its exit code. */
  tryKubectl(args: string[], input?: string): Promise<Finished>
  apply(...documents: object[]): Promise<string>
  /** A client of ours, as the administrator. */
  kube: Kube
  getJson<T>(...args: string[]): Promise<T>
  /** `make TARGET`; throws with what it said when it fails. */
  make(target: 'deploy' | 'undeploy'): void
  close(): Promise<void>
}

export async function startTestCluster(): Promise<TestCluster> {
  const { KUBECONFIG: given, K8SCLAW_NODE_DIR: folder } = process.env
  if (!given && !folder) throw new Error('there is no cluster: run make test-cluster, or set KUBECONFIG')
  const node = given || !folder ? undefined : await startTestNode(folder)
  const overlay = makeOverlay()
  const env = { ...process.env, KUBECONFIG: node?.kubernetes.kubeconfig ?? given }
  const tryKubectl = (args: string[], input?: string) =>
    execute('kubectl', args, { env, ...(input === undefined ? {} : { input }) })
  const kubectl = async (args: string[], input?: string) => {
    const { code, stdout, stderr } = await tryKubectl(args, input)
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`)
    return stdout
  }
  const kube = await loadKube({ env })
  return {
    node,
    kube,
    kubectl,
    tryKubectl,
    apply: (...documents) => kubectl(['apply', '-f', '-'], documents.map((d) => stringify(d)).join('---\n')),
    getJson: async <T>(...args: string[]) => JSON.parse(await kubectl([...args, '-o', 'json'])) as T,
    make: (target) => {
      const images = node ? [`NATS_IMAGE=${busImage}`] : []
      const settings = [...images, `OVERLAY=${overlay}`]
      // From a node, the registry of npm packages is as far away as everything else.
      const args = ['--silent', '--old-file=node_modules/.setup', target, ...settings]
      const { status, stdout, stderr } = spawnSync('make', args, {
        cwd: root,
        env,
        encoding: 'utf8',
      })
      if (status !== 0) throw new Error(`make ${target} failed:\n${stdout}${stderr}`)
    },
    close: async () => {
      kube.close()
      await node?.close()
      rmSync(overlay, { recursive: true, force: true })
    },
  }
}

/** What is deployed: the default, and a database of its own. Returns the folder. */
function makeOverlay(): string {
  const folder = mkdtempSync(join(tmpdir(), 'k8sclaw-overlay-'))
  const [base, postgres] = ['default', 'postgres'].map((name) => relative(folder, join(root, 'config', name)))
  writeFileSync(join(folder, 'kustomization.yaml'), stringify({ resources: [base], components: [postgres] }))
  return folder
}
