import { customResourceDefinitions, durationSeconds } from '#core/kinds'
import { type ClusterOptions, connect } from '../context.ts'
import type { Manifest } from '../manifest-file.ts'
import { safeLine } from '../terminal.ts'
import { applyAll } from './apply.ts'
import { readPlatform, type Source } from './manifests.ts'
import { untilReady } from './readiness.ts'

export interface InstallOptions extends ClusterOptions, Source {
  /** Only the definitions of the kinds. */
  crds: boolean
  dryRun: boolean
  wait: boolean
  /** Such as `5m`. */
  timeout: string
}

/** `k8sclaw install`: applies the platform and returns once it admits runs. With --dry-run it prints what it would apply. */
export async function install(options: InstallOptions, write: (text: string) => void): Promise<void> {
  const manifests = options.crds ? definitions() : readPlatform(options)
  if (options.dryRun) {
    const { yamlText } = await import('../yaml-text.ts')
    write(manifests.map((one) => `${yamlText(one)}\n`).join('---\n'))
    return
  }
  const { kube } = await connect(options)
  const say = (sentence: string) => write(`${safeLine(sentence)}\n`)
  say(`applying ${manifests.length} objects to ${kube.server}`)
  await applyAll(kube, manifests)
  if (options.crds) return say('the kinds are installed')
  if (!options.wait) return say('applied; k8sclaw doctor says when it is ready')
  await untilReady(kube, manifests, durationSeconds(options.timeout) * 1000, say)
  say('ready: an AgentRun would be admitted')
}

function definitions(): Manifest[] {
  return [...customResourceDefinitions().values()] as unknown as Manifest[]
}
