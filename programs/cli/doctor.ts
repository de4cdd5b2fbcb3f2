import { errorMessage } from '#core/errors'
import type { KubeObject } from '#core/kinds'
import { askApiserver } from './apiserver.ts'
import { type ClusterOptions, connect } from './context.ts'
import { safeLine } from './terminal.ts'

interface Finding {
  ok: boolean
  /** A warning is not ok, and still no reason to exit with 1. */
  warning?: boolean
  text: string
}

interface Deployment extends KubeObject {
  spec: { replicas?: number }
  status?: { availableReplicas?: number }
}

const system = 'k8sclaw-system'
/** That of one machine; elsewhere it is somebody's own, and its name is not known. */
const database = 'k8sclaw-database'

/** `k8sclaw doctor`: looks at each thing the platform needs and says what is wrong. Exit code 1 when something is. */
export async function doctor(options: ClusterOptions, write: (text: string) => void): Promise<number> {
  const findings: Finding[] = []
  const say = (finding: Finding) => {
    findings.push(finding)
    const mark = finding.ok ? 'ok  ' : finding.warning ? 'WARN' : 'FAIL'
    write(`${mark}  ${safeLine(finding.text)}\n`)
  }
  const major = Number(process.versions.node.split('.')[0])
  say({ ok: major >= 24, text: `Node ${process.versions.node}${major >= 24 ? '' : ': 24 or newer is needed'}` })
  try {
    const { kube } = await connect(options)
    const version = await kube.requestJson<{ gitVersion: string }>('/version')
    say({ ok: true, text: `API server ${version.gitVersion} at ${kube.server}` })
    const { configMaps, customResourceDefinitionResource, deployments } = await import('#core/kube')
    for (const name of ['agentruns', 'clawinstances', 'clawpolicies', 'skillpacks']) {
      const found = await kube.find(customResourceDefinitionResource, { name: `${name}.k8sclaw.io` })
      say({ ok: found !== undefined, text: found ? `kind ${name} is installed` : `kind ${name} is not installed` })
    }
    for (const name of [
      'k8sclaw-nats',
      'k8sclaw-controller',
      'k8sclaw-webhook',
      'k8sclaw-apiserver',
      'k8sclaw-gateway',
      database,
    ]) {
      const found = await kube.find<Deployment>(deployments, { namespace: system, name })
      if (!found && name === database) continue
      const available = found?.status?.availableReplicas ?? 0
      const ok = found !== undefined && available >= (found.spec.replicas ?? 1)
      say({
        ok,
        // Only sessions, memories and usage wait for it.
        warning: name === database,
        text: found
          ? `${name}: ${available} of ${found.spec.replicas ?? 1} available`
          : `${name} is not installed in ${system}`,
      })
    }
    const platform = await kube.find<KubeObject & { data?: Record<string, string> }>(configMaps, {
      namespace: system,
      name: 'k8sclaw-platform',
    })
    const isolation = platform?.data?.isolation
    if (isolation === 'none') {
      const models = platform?.data?.allowUnconfined === 'true' ? 'every model runs' : 'only the demo model runs'
      say({ ok: false, warning: true, text: `isolation: none (agents are plain processes of this machine; ${models})` })
    } else say({ ok: isolation !== undefined, text: `isolation: ${isolation ?? 'unknown'}` })
    const health = await askApiserver(kube, '/readyz')
    await health.text()
    say({
      ok: health.status === 200,
      text: `API server of the platform answers ${health.status} through the service proxy`,
    })
    const token = await kube.bearerToken()
    say({
      ok: token !== undefined,
      warning: true,
      text: token
        ? 'this kubeconfig has a token: streams work'
        : 'this kubeconfig has no token: streams will be refused',
    })
  } catch (error) {
    say({ ok: false, text: errorMessage(error) })
  }
  return findings.some((f) => !f.ok && !f.warning) ? 1 : 0
}
