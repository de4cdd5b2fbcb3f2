/** Makes the folders that a pod's volumes are, and keeps their content in step with Secrets, ConfigMaps and tokens. */
import { chmod, chown, lstat, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ConfigError, type EnvSources, fieldOf, type PodFacts } from './environment.ts'
import type { KeyToPath, KeyValues, Pod, ProjectedSource, Volume } from './objects.ts'
import { type ProjectedFile, writeProjection } from './projection.ts'

export interface VolumeHost {
  /** The pod's own folder of volumes. */
  folder: string
  sources: EnvSources
  facts: PodFacts
  /** The folder of a claim, or undefined while the claim does not exist. */
  claimFolder(namespace: string, name: string): Promise<string | undefined>
  mintToken(pod: Pod, audience: string | undefined, expirationSeconds: number | undefined): Promise<Token>
  /** Whether files can be given to others: only root can. */
  root: boolean
  now(): number
}

export interface Token {
  token: string
  expirationTimestamp: string
}

interface MintedFor {
  token: string
  renewAt: number
}

export class PodVolumes {
  readonly #host: VolumeHost
  readonly #tokens = new Map<string, MintedFor>()

  constructor(host: VolumeHost) {
    this.#host = host
  }

  /**
   * Makes all volumes at once and answers where each is. `nested` names volumes whose folder lies inside another's.
   * ConfigError while something that a volume names does not exist.
   */
  async prepare(pod: Pod, nested: ReadonlyMap<string, { parent: string; path: string }>): Promise<Map<string, string>> {
    const volumes = pod.spec.volumes ?? []
    const folders = new Map(volumes.map((v) => [v.name, join(this.#host.folder, v.name)]))
    for (const [name, { parent, path }] of nested) folders.set(name, join(folders.get(parent) ?? '', path))
    await mkdir(this.#host.folder, { recursive: true, mode: 0o711 })
    // Outer ones first: an inner folder is made inside a folder with the right mode.
    const [outer, inner] = [volumes.filter((v) => !nested.has(v.name)), volumes.filter((v) => nested.has(v.name))]
    for (const group of [outer, inner]) {
      await Promise.all(
        group.map(async (volume) => {
          const folder = await this.#make(pod, volume, folders.get(volume.name) ?? '')
          folders.set(volume.name, folder)
        }),
      )
    }
    return folders
  }

  /** Writes again what changed at its source. Answers when a token must be renewed, if there is one. */
  async refresh(pod: Pod): Promise<number | undefined> {
    for (const volume of pod.spec.volumes ?? []) {
      if (isProjection(volume)) await this.#project(pod, volume, join(this.#host.folder, volume.name))
    }
    return this.renewAt()
  }

  /** When the next token is to be renewed, in milliseconds since the epoch. */
  renewAt(): number | undefined {
    const times = [...this.#tokens.values()].map((t) => t.renewAt)
    return times.length > 0 ? Math.min(...times) : undefined
  }

  async #make(pod: Pod, volume: Volume, folder: string): Promise<string> {
    if (volume.persistentVolumeClaim) {
      const claim = volume.persistentVolumeClaim.claimName
      const source = await this.#host.claimFolder(pod.metadata.namespace, claim)
      if (source === undefined) throw new ConfigError(`persistentvolumeclaim "${claim}" not found`)
      await this.#open(pod, source)
      return source
    }
    if (isProjection(volume)) {
      await mkdir(folder, { recursive: true, mode: 0o755 })
      await this.#project(pod, volume, folder)
      return folder
    }
    if (!volume.emptyDir) throw new ConfigError(`volume "${volume.name}": this node has no volumes of that type`)
    await mkdir(folder, { recursive: true })
    await this.#open(pod, folder)
    return folder
  }

  /** Everyone may write, and with fsGroup what is made inside belongs to that group. */
  async #open(pod: Pod, folder: string): Promise<void> {
    const fsGroup = pod.spec.securityContext?.fsGroup
    const given = this.#host.root && fsGroup !== undefined
    if (given) await chown(folder, (await lstat(folder)).uid, fsGroup)
    await chmod(folder, given ? 0o2777 : 0o777)
  }

  async #project(pod: Pod, volume: Volume, folder: string): Promise<void> {
    const mode = (volume.secret ?? volume.configMap ?? volume.downwardAPI ?? volume.projected)?.defaultMode ?? 0o644
    const files: ProjectedFile[] = []
    for (const source of sourcesOf(volume)) files.push(...(await this.#files(pod, volume.name, source, mode)))
    const fsGroup = pod.spec.securityContext?.fsGroup
    await writeProjection(folder, files, this.#host.root ? fsGroup : undefined)
  }

  async #files(pod: Pod, volume: string, source: ProjectedSource, mode: number): Promise<ProjectedFile[]> {
    const { sources, facts } = this.#host
    if (source.secret) {
      const object = sources.secret(source.secret.name)
      return pick(object, 'base64', `secret "${source.secret.name}"`, source.secret, mode)
    }
    if (source.configMap) {
      const object = sources.configMap(source.configMap.name)
      return pick(object, 'utf8', `configmap "${source.configMap.name}"`, source.configMap, mode)
    }
    if (source.downwardAPI) {
      return (source.downwardAPI.items ?? []).map((item) => ({
        path: item.path,
        content: Buffer.from(fieldOf(pod, item.fieldRef?.fieldPath ?? '', facts)),
        mode: item.mode ?? mode,
      }))
    }
    if (source.serviceAccountToken) {
      const { audience, expirationSeconds, path } = source.serviceAccountToken
      const token = await this.#token(pod, `${volume}/${path}`, audience, expirationSeconds)
      return [
        { path, content: Buffer.from(token), mode: pod.spec.securityContext?.fsGroup === undefined ? 0o644 : 0o640 },
      ]
    }
    return []
  }

  /** A token is renewed when four fifths of its life are over, as kubelet does. */
  async #token(pod: Pod, key: string, audience?: string, expirationSeconds?: number): Promise<string> {
    const now = this.#host.now()
    const held = this.#tokens.get(key)
    if (held && held.renewAt > now) return held.token
    const { token, expirationTimestamp } = await this.#host.mintToken(pod, audience, expirationSeconds)
    this.#tokens.set(key, { token, renewAt: now + (Date.parse(expirationTimestamp) - now) * 0.8 })
    return token
  }
}

/** Whether the volume's content is written by the node from objects of the API. */
export function isProjection(volume: Volume): boolean {
  return Boolean(volume.secret ?? volume.configMap ?? volume.downwardAPI ?? volume.projected)
}

/** The names of the Secrets and ConfigMaps that a volume shows. */
export function projectedNames(volume: Volume): { secrets: string[]; configMaps: string[] } {
  const sources = sourcesOf(volume)
  return {
    secrets: sources.flatMap((s) => (s.secret ? [s.secret.name] : [])),
    configMaps: sources.flatMap((s) => (s.configMap ? [s.configMap.name] : [])),
  }
}

function sourcesOf(volume: Volume): ProjectedSource[] {
  if (volume.secret) return [{ secret: { ...volume.secret, name: volume.secret.secretName } }]
  if (volume.configMap) return [{ configMap: volume.configMap }]
  if (volume.downwardAPI) return [{ downwardAPI: volume.downwardAPI }]
  return volume.projected?.sources ?? []
}

function pick(
  object: KeyValues | undefined,
  encoding: 'base64' | 'utf8',
  name: string,
  options: { items?: KeyToPath[]; optional?: boolean },
  mode: number,
): ProjectedFile[] {
  if (!object) {
    if (options.optional) return []
    throw new ConfigError(`${name} not found`)
  }
  const content = new Map<string, Buffer>()
  for (const [key, value] of Object.entries(object.data ?? {})) content.set(key, Buffer.from(value, encoding))
  for (const [key, value] of Object.entries(object.binaryData ?? {})) content.set(key, Buffer.from(value, 'base64'))
  if (!options.items) return [...content].map(([path, bytes]) => ({ path, content: bytes, mode }))
  return options.items.flatMap((item) => {
    const bytes = content.get(item.key)
    if (bytes) return [{ path: item.path, content: bytes, mode: item.mode ?? mode }]
    if (options.optional) return []
    throw new ConfigError(`${name} has no key ${item.key}`)
  })
}
