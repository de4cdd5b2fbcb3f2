/**
 * `make test-cluster`: the tests on a real node. With KUBECONFIG, on that cluster. Otherwise this machine becomes a node,
 * inside namespaces of its own for network, mounts and processes: when they end, so do the node's interfaces, rules,
 * programs and mounts, and what is left is its folder and its control groups, which are removed here.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { buildImages } from './images.ts'
import { nodePrograms, whyNoNode } from './programs.ts'

const say = (sentence: string) => console.error(`k8sclaw: ${sentence}`)
const args = process.argv.slice(2)
const program =
  args[0] === 'bench'
    ? [resolve(import.meta.dirname, 'bench.ts')]
    : [resolve(import.meta.dirname, '../../build/test.ts'), '--project=cluster', ...args]

if (process.env.KUBECONFIG) {
  process.exitCode = spawnSync(process.execPath, program, { stdio: 'inherit' }).status ?? 1
} else {
  const reason = whyNoNode()
  if (reason) console.log(`k8sclaw: no tests on a real node: ${reason}`)
  else process.exitCode = await onNode()
}

async function onNode(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'k8sclaw-node-'))
  try {
    const programs = nodePrograms(say)
    say('building the images')
    buildImages(join(folder, 'images'), programs)
    const temporary = join(folder, 'tmp')
    mkdirSync(temporary)
    const namespaces = ['--mount', '--propagation=private', '--net', '--pid', '--fork', '--kill-child', '--mount-proc']
    const { status } = spawnSync('unshare', [...namespaces, process.execPath, ...program], {
      stdio: 'inherit',
      // What the tests leave goes with the folder, too.
      env: { ...process.env, K8SCLAW_NODE_DIR: folder, TMPDIR: temporary },
    })
    return status ?? 1
  } finally {
    for (const group of controlGroups(basename(folder))) await removeGroup(group)
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  }
}

/** In each hierarchy of this machine, or in its only one. */
function controlGroups(name: string): string[] {
  const top = '/sys/fs/cgroup'
  return [top, ...readdirSync(top).map((controller) => join(top, controller))].map((path) => join(path, name))
}

/** A group is removed after those within it, and after its processes, which the end of their namespace has killed. */
async function removeGroup(path: string): Promise<void> {
  if (!existsSync(path)) return
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeGroup(join(path, entry.name))
  }
  for (let tries = 0; ; tries++) {
    try {
      rmdirSync(path)
      return
    } catch (error) {
      if (tries === 100) throw error
      await sleep(100)
    }
  }
}
