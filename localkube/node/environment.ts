/** What a container is started with: its environment and command line, expanded as Kubernetes does. Pure. */
import type { Container, KeyReference, KeyValues, Pod } from './objects.ts'

/** Looks up what the environment refers to; undefined where it does not exist. */
export interface EnvSources {
  secret(name: string): KeyValues | undefined
  configMap(name: string): KeyValues | undefined
}

/** The facts of a pod that only the node knows. */
export interface PodFacts {
  podIP: string
  hostIP: string
  nodeName: string
}

/** The container cannot be created now; when what it names appears, it can. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/** The variables of a container: `inherited` first, then envFrom, then env, each of which may refer to those before it. */
export function buildEnvironment(
  pod: Pod,
  container: Container,
  facts: PodFacts,
  sources: EnvSources,
  inherited: Record<string, string>,
): Record<string, string> {
  const env: Record<string, string> = { ...inherited }
  for (const from of container.envFrom ?? []) {
    const reference = from.secretRef ?? from.configMapRef
    if (!reference) continue
    const kind = from.secretRef ? 'secret' : 'configmap'
    const object = from.secretRef ? sources.secret(reference.name) : sources.configMap(reference.name)
    if (!object && !reference.optional) throw new ConfigError(`${kind} "${reference.name}" not found`)
    for (const [key, value] of Object.entries(object ? textOf(object, kind) : {}))
      env[(from.prefix ?? '') + key] = value
  }
  for (const variable of container.env ?? []) {
    const { valueFrom } = variable
    if (valueFrom?.fieldRef) env[variable.name] = fieldOf(pod, valueFrom.fieldRef.fieldPath, facts)
    else if (valueFrom?.secretKeyRef || valueFrom?.configMapKeyRef) {
      const value = keyOf(valueFrom, sources)
      if (value !== undefined) env[variable.name] = value
    } else env[variable.name] = expand(variable.value ?? '', env)
  }
  return env
}

/** `$(NAME)` becomes the variable's value, `$$(NAME)` stays as `$(NAME)`, unknown names stay as they are. */
export function expand(text: string, env: Record<string, string>): string {
  return text.replace(/\$\$|\$\(([^()]*)\)/g, (match, name: string | undefined) =>
    name === undefined ? '$' : Object.hasOwn(env, name) ? (env[name] ?? match) : match,
  )
}

/** The command line: `command` replaces the image's entrypoint, `args` follow it. */
export function buildCommand(entrypoint: string[], container: Container, env: Record<string, string>): string[] {
  const head = container.command?.length ? container.command.map((word) => expand(word, env)) : entrypoint
  return [...head, ...(container.args ?? []).map((word) => expand(word, env))]
}

/** A field by its path, as the downward API names them. */
export function fieldOf(pod: Pod, path: string, facts: PodFacts): string {
  const subscript = path.match(/^metadata\.(labels|annotations)\['(.+)'\]$/)
  if (subscript) {
    const [, map, key = ''] = subscript
    return (map === 'labels' ? pod.metadata.labels : pod.metadata.annotations)?.[key] ?? ''
  }
  switch (path) {
    case 'metadata.name':
      return pod.metadata.name
    case 'metadata.namespace':
      return pod.metadata.namespace
    case 'metadata.uid':
      return pod.metadata.uid
    case 'metadata.labels':
      return propertyLines(pod.metadata.labels)
    case 'metadata.annotations':
      return propertyLines(pod.metadata.annotations)
    case 'spec.nodeName':
      return facts.nodeName
    case 'spec.serviceAccountName':
      return pod.spec.serviceAccountName ?? 'default'
    case 'status.podIP':
    case 'status.podIPs':
      return facts.podIP
    case 'status.hostIP':
      return facts.hostIP
    default:
      throw new ConfigError(`fieldPath "${path}" is not supported by this node`)
  }
}

function propertyLines(map: Record<string, string> = {}): string {
  return Object.keys(map)
    .sort()
    .map((key) => `${key}=${JSON.stringify(map[key])}\n`)
    .join('')
}

function keyOf(
  from: { secretKeyRef?: KeyReference; configMapKeyRef?: KeyReference },
  sources: EnvSources,
): string | undefined {
  const kind = from.secretKeyRef ? 'secret' : 'configmap'
  const reference = from.secretKeyRef ?? from.configMapKeyRef
  if (!reference) return undefined
  const object = from.secretKeyRef ? sources.secret(reference.name) : sources.configMap(reference.name)
  const value = object && textOf(object, kind)[reference.key]
  if (value !== undefined || reference.optional) return value
  throw new ConfigError(
    object
      ? `couldn't find key ${reference.key} in ${kind} "${reference.name}"`
      : `${kind} "${reference.name}" not found`,
  )
}

/** The text values of a Secret (base64) or ConfigMap (plain). */
function textOf(object: KeyValues, kind: 'secret' | 'configmap'): Record<string, string> {
  const data = object.data ?? {}
  if (kind === 'configmap') return data
  return Object.fromEntries(
    Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]),
  )
}
