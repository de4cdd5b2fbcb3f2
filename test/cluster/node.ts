/**
 * One real node: containerd, kubelet, kube-proxy and Cilium, and outside of it a real control plane (kubernetes.ts), with
 * names by CoreDNS and a volume to claim. It stands in the namespaces that run.ts made, and in a folder of its own; what
 * the programs insist on having in /run and /var/log lies over those folders and is seen here only.
 */
import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'
import { startKubernetes, type TestKubernetes } from '../support/kubernetes.ts'
import { Program } from '../support/program.ts'
import { namesImage, pauseImage } from './images.ts'
import { startOutside } from './outside.ts'
import { nodePrograms } from './programs.ts'

export const node = { name: 'node', address: '172.31.255.2', server: '172.31.255.1' }
const ranges = { podRange: '10.244.0.0/16', serviceRange: '10.96.0.0/16' }
const { podRange } = ranges
const namesAddress = '10.96.0.10'

/** What a test may stop, and start again. */
export type NodeProgram = 'containerd' | 'kubelet' | 'kube-proxy' | 'cilium-agent'

export interface TestNode {
  kubernetes: TestKubernetes
  kubectl(args: string[], input?: string): string
  /** The command that starts a program outside of the node, where the internet stands. */
  outside: readonly string[]
  /** Ends it as a crash would. Containers go on. */
  kill(program: NodeProgram): Promise<void>
  start(program: NodeProgram, ...more: string[]): Promise<void>
  /** Ends the processes of a pod, by its uid, but for the first one, which holds its network. */
  killContainers(uid: string): void
  /** Stops the programs. What else there is of the node ends with the namespaces. */
  close(): Promise<void>
}

export async function startTestNode(folder: string): Promise<TestNode> {
  const programs = nodePrograms()
  const file = (...names: string[]) => join(folder, ...names)
  const own = (...names: string[]) => {
    mkdirSync(file(...names), { recursive: true })
    return file(...names)
  }
  mounts(own)
  makeControlGroups(basename(folder))
  const outside = await startOutside(node.server, node.address, ranges)
  const kubernetes = await startKubernetes({ nodes: { server: node.server, podRange, within: outside.within } })
  const { kubeconfig } = kubernetes
  const kubectl = (args: string[], input?: string) =>
    execFileSync('kubectl', args, {
      encoding: 'utf8',
      env: { ...process.env, KUBECONFIG: kubeconfig },
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(input === undefined ? {} : { input }),
    })
  const socket = file('containerd.sock')
  // Cilium looks for a compiler by this name, and finds no other.
  symlinkSync(execFileSync('sh', ['-c', 'command -v clang-19'], { encoding: 'utf8' }).trim(), join(own('bin'), 'clang'))
  copyFileSync('/usr/lib/cni/loopback', join(own('cni-bin'), 'loopback'))
  copyFileSync(join(programs.network, 'cilium-cni'), file('cni-bin', 'cilium-cni'))
  // It writes what it finds out about the kernel beside the sources, and modules are read-only.
  execFileSync('cp', ['-r', '--no-preserve=mode', join(programs.networkSource, 'bpf'), own('cilium')])
  writeFileSync(file('containerd.toml'), containerdConfiguration(own, socket))
  writeFileSync(file('kubelet.yaml'), stringify(kubeletConfiguration(own, socket, basename(folder), kubernetes)))

  const path = `${file('bin')}:${process.env.PATH}:/usr/sbin:/sbin`
  // A configuration that cilium-agent moves there from the same disk goes unseen by containerd 1.6, so it makes it elsewhere.
  const env = { ...process.env, PATH: path, K8S_NODE_NAME: node.name, TMPDIR: '/run' }
  const commands: Record<NodeProgram, [string, string[]]> = {
    containerd: ['/usr/bin/containerd', ['--config', file('containerd.toml')]],
    kubelet: [
      join(programs.kubernetes, 'kubelet'),
      [
        ...[`--config=${file('kubelet.yaml')}`, `--kubeconfig=${kubeconfig}`, `--root-dir=${own('kubelet')}`],
        ...[`--cert-dir=${own('kubelet-certs')}`, `--hostname-override=${node.name}`, `--node-ip=${node.address}`],
      ],
    ],
    'kube-proxy': [
      join(programs.kubernetes, 'kube-proxy'),
      [
        ...[`--kubeconfig=${kubeconfig}`, '--proxy-mode=nftables', `--cluster-cidr=${podRange}`],
        ...['--conntrack-max-per-core=0', `--hostname-override=${node.name}`],
      ],
    ],
    'cilium-agent': [join(programs.network, 'cilium-agent'), ciliumArguments(own, kubeconfig)],
  }
  const running = new Map<NodeProgram, Program>()
  const spawn = (name: NodeProgram, more: string[]): Program => {
    const [path, args] = commands[name]
    const program = new Program(path, [...args, ...more], folder, env)
    running.set(name, program)
    return program
  }
  const isReady: Record<NodeProgram, () => Promise<boolean>> = {
    containerd: async () => ctr(socket, 'version') !== '',
    kubelet: async () => kubectl(['get', '--raw', `/api/v1/nodes/${node.name}/proxy/healthz`]) === 'ok',
    'kube-proxy': async () => (await fetch('http://127.0.0.1:10256/livez')).ok,
    'cilium-agent': async () => (await fetch('http://127.0.0.1:9879/healthz', { headers: { brief: 'true' } })).ok,
  }
  const start = async (name: NodeProgram, ...more: string[]) => {
    // containerd answers before its service for kubelets does, and a kubelet that comes too early ends. Where systemd
    // starts both it starts the kubelet again.
    for (let left = name === 'kubelet' ? 3 : 0; ; left--) {
      const program = spawn(name, more)
      try {
        return await program.until(isReady[name])
      } catch (error) {
        if (left === 0) throw error
        await program.stop()
      }
      await sleep(2_000)
    }
  }
  const close = async () => {
    for (const program of [...running.values()].toReversed()) await program.stop()
    await kubernetes.close()
    outside.close()
  }
  try {
    await start('containerd')
    for (const archive of readdirSync(file('images', 'archives'))) {
      ctr(socket, 'images', 'import', file('images', 'archives', archive))
    }
    const kinds = join(programs.networkSource, 'pkg/k8s/apis/cilium.io/client/crds')
    kubectl(['create', ...['v2', 'v2alpha1'].flatMap((version) => ['-f', join(kinds, version)])])
    await start('kubelet')
    await Promise.all([start('kube-proxy'), start('cilium-agent')])
    kubectl(
      ['apply', '-f', '-'],
      [...names(), volume('bus', own('volume')), volume('database', own('database'), '20Gi')]
        .map((object) => stringify(object))
        .join('---\n'),
    )
    kubectl(['wait', '--for=condition=Ready', 'node', node.name, '--timeout=120s'])
    kubectl(['rollout', 'status', 'deployment/coredns', '-n', 'kube-system', '--timeout=120s'])
  } catch (error) {
    await close()
    throw error
  }
  const kill = async (name: NodeProgram) => {
    await running.get(name)?.stop()
    running.delete(name)
  }
  return { kubernetes, kubectl, outside: outside.within, kill, start, killContainers, close }
}

/** Found by their control groups. */
function killContainers(uid: string): void {
  for (const pid of readdirSync('/proc').map(Number).filter(Number.isInteger)) {
    try {
      if (!readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(`pod${uid}`)) continue
      if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('/program')) continue
      process.kill(pid, 'SIGKILL')
    } catch {
      // It ended meanwhile.
    }
  }
}

type Own = (...names: string[]) => string

/** What the programs have in fixed places: sockets and locks, links to logs, programs in the kernel. */
function mounts(own: Own): void {
  const mount = (...args: string[]) => execFileSync('mount', args)
  mount('-t', 'tmpfs', 'tmpfs', '/run')
  mount('--bind', own('log'), '/var/log')
  if (existsSync('/sys/fs/bpf')) mount('-t', 'bpf', 'bpf', '/sys/fs/bpf')
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '1')
}

function ctr(socket: string, ...args: string[]): string {
  return execFileSync('ctr', ['--address', socket, '--namespace', 'k8s.io', ...args], { encoding: 'utf8' })
}

function containerdConfiguration(own: Own, socket: string): string {
  return `version = 2
root = "${own('containerd', 'root')}"
state = "${own('containerd', 'state')}"
[grpc]
  address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/${pauseImage}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${own('cni-bin')}"
    conf_dir = "${own('cni')}"
[plugins."io.containerd.internal.v1.opt"]
  path = "${own('containerd', 'opt')}"
`
}

function kubeletConfiguration(own: Own, socket: string, group: string, { clientCaFile }: TestKubernetes) {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${group}`,
    failCgroupV1: false,
    failSwapOn: false,
    enforceNodeAllocatable: [],
    containerRuntimeEndpoint: `unix://${socket}`,
    clusterDNS: [namesAddress],
    clusterDomain: 'cluster.local',
    resolvConf: '',
    authentication: { anonymous: { enabled: false }, x509: { clientCAFile: clientCaFile } },
    authorization: { mode: 'Webhook' },
    volumePluginDir: own('volume-plugins'),
    podLogsDir: own('pod-logs'),
    // The disk is the machine's, and how full it is says nothing about this node.
    evictionHard: { 'memory.available': '50Mi' },
    imageGCHighThresholdPercent: 100,
  }
}

function ciliumArguments(own: Own, kubeconfig: string): string[] {
  const options = {
    'k8s-kubeconfig-path': kubeconfig,
    'lib-dir': own('cilium'),
    'write-cni-conf-when-ready': join(own('cni'), '05-cilium.conflist'),
    ipam: 'kubernetes',
    'routing-mode': 'native',
    'ipv4-native-routing-cidr': podRange,
    'enable-ipv4-masquerade': false,
    'enable-ipv6': false,
    devices: 'uplink',
    // Without its operator, which nothing of this needs.
    'identity-allocation-mode': 'crd',
    'identity-change-grace-period': '0s',
    'enable-l7-proxy': false,
    'enable-hubble': false,
    'enable-health-checking': false,
    'enable-gops': false,
  }
  return Object.entries(options).map(([name, value]) => `--${name}=${value}`)
}

/** A group of the node's own in each hierarchy, or in the only one; run.ts removes them. */
function makeControlGroups(name: string): void {
  const top = '/sys/fs/cgroup'
  if (existsSync(join(top, 'cgroup.controllers'))) {
    mkdirSync(join(top, name))
    return
  }
  for (const controller of readdirSync(top)) {
    if (controller === 'unified') continue
    const group = join(top, controller, name)
    mkdirSync(group, { recursive: true })
    // A new group of this one has nothing until it is told what.
    for (const set of controller === 'cpuset' ? ['cpuset.cpus', 'cpuset.mems'] : []) {
      writeFileSync(join(group, set), readFileSync(join(top, controller, set)))
    }
    if (controller === 'cpu') shareProcessors(group)
  }
}

/**
 * The node's programs beside its pods, as systemd puts them, and both together with a share of a machine that others
 * use too. Otherwise all pods would have as much of it as any one process of anybody's.
 */
function shareProcessors(group: string): void {
  mkdirSync(join(group, 'system'))
  writeFileSync(join(group, 'system', 'cgroup.procs'), String(process.pid))
  writeFileSync(join(group, 'cpu.shares'), process.env.NODE_CPU_SHARES || '3072')
}

/** CoreDNS, as clusters have it. */
function names(): object[] {
  const metadata = { name: 'coredns', namespace: 'kube-system' }
  const rbac = 'rbac.authorization.k8s.io'
  const labels = { 'k8s-app': 'kube-dns' }
  const verbs = ['list', 'watch']
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRole',
      metadata: { name: 'coredns' },
      rules: [
        { apiGroups: [''], resources: ['services', 'pods', 'namespaces'], verbs },
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs },
      ],
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name: 'coredns' },
      roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'coredns' },
      subjects: [{ kind: 'ServiceAccount', ...metadata }],
    },
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata,
      data: { Corefile: '.:53 {\n  errors\n  ready\n  kubernetes cluster.local\n}\n' },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'kube-dns', namespace: 'kube-system' },
      spec: {
        clusterIP: namesAddress,
        selector: labels,
        ports: ['UDP', 'TCP'].map((protocol) => ({ name: protocol.toLowerCase(), port: 53, protocol })),
      },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: {
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            serviceAccountName: 'coredns',
            dnsPolicy: 'Default',
            containers: [
              {
                name: 'coredns',
                image: namesImage,
                imagePullPolicy: 'IfNotPresent',
                args: ['-conf', '/etc/coredns/Corefile'],
                volumeMounts: [{ name: 'config', mountPath: '/etc/coredns' }],
                readinessProbe: { httpGet: { path: '/ready', port: 8181 }, periodSeconds: 1 },
              },
            ],
            volumes: [{ name: 'config', configMap: { name: 'coredns' } }],
          },
        },
      },
    },
  ]
}

/** To be claimed. One of kind `local` is given to the pod's group, as a disk would be. */
function volume(name: string, path: string, storage = '10Gi'): object {
  const isHere = { key: 'kubernetes.io/hostname', operator: 'In', values: [node.name] }
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name },
    spec: {
      capacity: { storage },
      accessModes: ['ReadWriteOnce'],
      local: { path },
      nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [isHere] }] } },
    },
  }
}
