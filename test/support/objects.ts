/** Objects that the platform tests apply, each with no more than its test is about. */

const apiVersion = 'k8sclaw.io/v1alpha1'

export interface AgentFields {
  image?: string
  command?: string[]
  args?: string[]
  timeout?: string
  provider?: string
  resources?: { requests?: object; limits?: object }
  sandbox?: { enabled: boolean }
}

/** The default policy of a namespace: every tool that there is. */
export function allowAll(namespace = 'default'): object {
  return {
    apiVersion,
    kind: 'ClawPolicy',
    metadata: { name: 'default-policy', namespace },
    spec: { toolGating: { defaultAction: 'allow' }, featureGates: { 'code-execution': true, 'file-access': true } },
  }
}

/** An instance with a sandbox whose model is the demo one, and more of its spec. */
export function instance(name: string, agent: AgentFields = {}, spec: object = {}): object {
  const { provider = 'demo', timeout = '60s', ...container } = agent
  const model = { provider, name: 'demo' }
  return {
    apiVersion,
    kind: 'ClawInstance',
    metadata: { name, namespace: 'default' },
    spec: { agents: { default: { model, timeout, sandbox: { enabled: true }, ...container } }, ...spec },
  }
}

/** A Secret with a script of the demo model, and what an instance says to use it. */
export function demoScript(name: string, script: string): { secret: object; authRefs: object[] } {
  return {
    secret: { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'default' }, stringData: { script } },
    authRefs: [{ provider: 'demo', secretRef: { name } }],
  }
}

export function run(name: string, instanceName: string, spec: object = {}): object {
  return {
    apiVersion,
    kind: 'AgentRun',
    metadata: { name, namespace: 'default' },
    spec: { instanceRef: { name: instanceName }, task: 'do it', ...spec },
  }
}

const tellsWhatItWasTold = `
import json, os, time
path = '/ipc/input/task.json'
while not os.path.exists(path):
    time.sleep(0.05)
task = json.load(open(path))
told = {name: task.get(name) for name in ('task', 'systemPrompt', 'history')}
with open('/ipc/output/result.tmp', 'w') as file:
    json.dump({'status': 'success', 'response': json.dumps(told)}, file)
os.rename('/ipc/output/result.tmp', '/ipc/output/result.json')
`

/** An agent that answers with what it was told, as JSON: task, systemPrompt and history. */
export const tellingAgent: AgentFields = {
  image: 'k8sclaw.io/host',
  command: ['/usr/bin/python3', '-c', tellsWhatItWasTold],
}
