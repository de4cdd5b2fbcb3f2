/** What a pod's containers need from this machine: volumes, processes, logs, and records of them. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ApiError, type LogOptions } from '#localkube/api'
import { ImageMissing, nowText } from './container.ts'
import { ContainerLog, readEnded, removeLog } from './container-log.ts'
import type { NodeContext } from './context.ts'
import { buildCommand, buildEnvironment, ConfigError, type EnvSources, type PodFacts } from './environment.ts'
import { hostnameOf, writeEtc } from './etc.ts'
import { findImage } from './images.ts'
import type { Identity } from './isolation.ts'
import { mountsOf, nestedVolumes } from './mounts.ts'
import type { Container, Pod } from './objects.ts'
import { recordPath } from './pod-runner.ts'
import { type ContainerProcess, launch } from './process.ts'
import { type ContainerRecord, writeRecord } from './record.ts'
import { processStart } from './survivors.ts'
import { PodVolumes, projectedNames } from './volumes.ts'

/** Containers that name no user, and confined ones never are root by accident. */
const nobody = 65534

export class PodHost {
  readonly folder: string
  readonly facts: PodFacts
  readonly #context: NodeContext
  readonly #sources: EnvSources
  readonly #volumes: PodVolumes
  readonly #logs = new Map<string, ContainerLog>()
  readonly #records = new Map<string, ContainerRecord>()
  #pod: Pod
  #folders: Map<string, string> | undefined
  #renewal: NodeJS.Timeout | undefined
  #refreshing = Promise.resolve()
  /** Something changed while the volumes were made. */
  #stale = false

  constructor(context: NodeContext, pod: Pod, podIP: string, claimFolder: PodVolumesHost['claimFolder']) {
    const { client, mirrors, isolation, nodeName } = context
    const { namespace } = pod.metadata
    this.#context = context
    this.#pod = pod
    this.folder = podFolder(context.dataDir, pod.metadata.uid)
    this.facts = { podIP, hostIP: context.apiAddress.host, nodeName }
    this.#sources = {
      secret: (name) => mirrors.secrets.get(namespace, name),
      configMap: (name) => mirrors.configMaps.get(namespace, name),
    }
    this.#volumes = new PodVolumes({
      folder: join(this.folder, 'v'),
      sources: this.#sources,
      facts: this.facts,
      claimFolder,
      mintToken: (of, audience, expirationSeconds) =>
        client.mintToken(
          { namespace, name: of.spec.serviceAccountName ?? 'default' },
          {
            ...(audience && { audiences: [audience] }),
            ...(expirationSeconds !== undefined && { expirationSeconds }),
            pod: { name: of.metadata.name, uid: of.metadata.uid },
          },
        ),
      root: isolation.root,
      now: Date.now,
    })
  }

  set pod(pod: Pod) {
    this.#pod = pod
  }

  /** Volumes and /etc, all at once. ConfigError while something is missing. */
  async prepare(): Promise<void> {
    await mkdir(join(this.folder, 'containers'), { recursive: true, mode: 0o711 })
    const all = [...(this.#pod.spec.initContainers ?? []), ...this.#pod.spec.containers]
    const identities = all.map((c) => this.#identity(c, true)).filter((i) => i !== undefined)
    const nested = this.#context.isolation.kind === 'none' ? nestedVolumes(this.#pod) : new Map()
    const [folders] = await Promise.all([
      this.#volumes.prepare(this.#pod, nested),
      writeEtc(join(this.folder, 'etc'), this.#pod, identities),
    ])
    this.#folders = folders
    if (this.#stale) this.refresh()
    else this.#planRenewal()
  }

  /** Where a volume lies, once it is made. */
  volumeFolder(name: string): string | undefined {
    return this.#folders?.get(name)
  }

  /** Whether a volume of the pod shows this Secret or ConfigMap. */
  shows(kind: 'secrets' | 'configMaps', name: string): boolean {
    return (this.#pod.spec.volumes ?? []).some((v) => projectedNames(v)[kind].includes(name))
  }

  /** Brings the projected volumes up to date. */
  refresh(): void {
    this.#stale = this.#folders === undefined
    if (this.#stale) return
    this.#refreshing = this.#refreshing
      .then(() => this.#volumes.refresh(this.#pod))
      .then(
        () => this.#planRenewal(),
        // A deleted Secret leaves the last content in place, as in Kubernetes.
        (error: unknown) => this.#context.log('warn', 'volumes not refreshed', { ...this.#name, error: String(error) }),
      )
  }

  async start(container: Container, restartCount: number): Promise<ContainerProcess> {
    const { isolation, images, mirrors, dataDir } = this.#context
    const image = findImage(images, container.image, this.#pod.metadata.namespace)
    if (!image) throw new ImageMissing(`Container image "${container.image}" is not present on this node`)
    this.#refuseRoot(container)
    const env = buildEnvironment(this.#pod, container, this.facts, this.#sources, {
      ...this.#inherited(),
      ...image.env,
    })
    const mounts = await mountsOf(this.#pod, container, image, this.#folders ?? new Map())
    // Written before it runs: a node that dies in between must not run twice what may run once.
    const intent = { pid: 0, processStart: '', restartCount, startedAt: nowText() }
    writeRecord(recordPath(this.folder, container.name), intent)
    const process = await launch({
      isolation,
      dataDir,
      root: isolation.root,
      image,
      identity: this.#identity(container, image.confined),
      hostname: hostnameOf(this.#pod),
      etc: join(this.folder, 'etc'),
      mounts,
      workingDir: container.workingDir ?? '/',
      command: buildCommand(image.argv, container, env),
      env,
      forwardPorts: portsOf(this.#siblings(container)),
      rewriting: {
        podIP: this.facts.podIP,
        ports: new Set(portsOf(this.#siblings())),
        clusterIP: (namespace, name) => {
          const ip = mirrors.services.get(namespace, name)?.spec.clusterIP
          return ip === 'None' ? undefined : ip
        },
      },
    })
    const record = { ...intent, pid: process.pid, processStart: processStart(process.pid) }
    this.#records.set(container.name, record)
    writeRecord(recordPath(this.folder, container.name), record)
    this.#keepLog(container.name, restartCount, process)
    return process
  }

  ended(container: Container, exitCode: number, finishedAt: string): void {
    this.#logs.get(container.name)?.end()
    const record = this.#records.get(container.name)
    if (record) writeRecord(recordPath(this.folder, container.name), { ...record, exitCode, finishedAt })
  }

  /** The log of a container, of the pod as it is now. */
  logs(container: string, options: LogOptions, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const { initContainerStatuses = [], containerStatuses = [] } = this.#pod.status ?? {}
    const status = [...initContainerStatuses, ...containerStatuses].find((c) => c.name === container)
    const restartCount = this.#records.get(container)?.restartCount ?? status?.restartCount ?? 0
    if (options.previous) {
      if (restartCount > 0) return toAsync(readEnded(this.#logPath(container, restartCount - 1), options))
      throw new ApiError(
        400,
        'BadRequest',
        `previous terminated container "${container}" in pod "${this.#pod.metadata.name}" not found`,
      )
    }
    const live = this.#logs.get(container)
    if (live) return live.read(options, signal)
    if (!status?.state.terminated && !status?.lastState.terminated) {
      const reason = status?.state.waiting?.reason ?? 'ContainerCreating'
      throw new ApiError(
        400,
        'BadRequest',
        `container "${container}" in pod "${this.#pod.metadata.name}" is waiting to start: ${reason}`,
      )
    }
    return toAsync(readEnded(this.#logPath(container, restartCount), options))
  }

  async close(): Promise<void> {
    clearTimeout(this.#renewal)
    await this.#refreshing
    for (const log of this.#logs.values()) log.end()
  }

  #keepLog(container: string, restartCount: number, process: ContainerProcess): void {
    const log = new ContainerLog(this.#logPath(container, restartCount))
    removeLog(this.#logPath(container, restartCount - 2))
    this.#logs.set(container, log)
    process.stdout.on('data', (chunk: Buffer) => log.write('stdout', chunk))
    process.stderr.on('data', (chunk: Buffer) => log.write('stderr', chunk))
  }

  #logPath(container: string, restartCount: number): string {
    return join(this.folder, 'log', container, `${restartCount}.log`)
  }

  #planRenewal(): void {
    clearTimeout(this.#renewal)
    const at = this.#volumes.renewAt()
    if (at !== undefined) this.#renewal = setTimeout(() => this.refresh(), Math.max(1000, at - Date.now()))
  }

  /** As whom the container runs; undefined: as the node's own user. */
  #identity(container: Container, confined: boolean): Identity | undefined {
    const pod = this.#pod.spec.securityContext
    const wanted = container.securityContext?.runAsUser ?? pod?.runAsUser
    const uid = wanted ?? (confined ? nobody : undefined)
    if (uid === undefined) return undefined
    const gid = container.securityContext?.runAsGroup ?? pod?.runAsGroup ?? uid
    const groups = [...(pod?.fsGroup === undefined ? [] : [pod.fsGroup]), ...(pod?.supplementalGroups ?? [])]
    return { uid, gid, groups }
  }

  #refuseRoot({ securityContext: own }: Container): void {
    const pod = this.#pod.spec.securityContext
    const root = (own?.runAsUser ?? pod?.runAsUser) === 0
    if (root && (own?.runAsNonRoot ?? pod?.runAsNonRoot))
      throw new ConfigError("container's runAsUser breaks non-root policy")
  }

  #inherited(): Record<string, string> {
    const { host, port } = this.#context.apiAddress
    return {
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      HOME: '/tmp',
      HOSTNAME: hostnameOf(this.#pod),
      KUBERNETES_SERVICE_HOST: host,
      KUBERNETES_SERVICE_PORT: port,
    }
  }

  /** All containers of the pod but this one. */
  #siblings(container?: Container): Container[] {
    const { initContainers = [], containers } = this.#pod.spec
    return [...initContainers, ...containers].filter((c) => c.name !== container?.name)
  }

  get #name(): Record<string, string> {
    return { namespace: this.#pod.metadata.namespace, pod: this.#pod.metadata.name }
  }
}

type PodVolumesHost = ConstructorParameters<typeof PodVolumes>[0]

/** Short, since a Unix socket's path may have 107 characters and lies below. */
export function podFolder(dataDir: string, uid: string): string {
  return join(dataDir, 'pods', uid.replaceAll('-', '').slice(0, 12))
}

function portsOf(containers: Container[]): number[] {
  const ports = containers.flatMap((c) => c.ports ?? []).filter((p) => (p.protocol ?? 'TCP') === 'TCP')
  return [...new Set(ports.map((p) => p.containerPort))]
}

async function* toAsync(chunks: Iterable<Uint8Array>): AsyncIterable<Uint8Array> {
  yield* chunks
}
