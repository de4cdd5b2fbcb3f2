import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ConfigError } from './environment.ts'
import { mountsOf, nestedVolumes } from './mounts.ts'
import type { KeyValues, Pod, Volume } from './objects.ts'
import { PodVolumes, type VolumeHost } from './volumes.ts'

const root = process.getuid?.() === 0
let folder: string
let secrets: Record<string, Record<string, string>>
let now: number
let minted: number
let host: VolumeHost

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'localkube-volumes-'))
  secrets = { s: { 'a.txt': 'one', b: 'two' } }
  now = Date.parse('2030-01-01T00:00:00Z')
  minted = 0
  host = {
    folder,
    sources: {
      secret: (name) => (secrets[name] ? keyValues(secrets[name]) : undefined),
      configMap: () => undefined,
    },
    facts: { podIP: '127.1.16.1', hostIP: '127.1.0.1', nodeName: 'node' },
    claimFolder: async (_, name) => (name === 'claim' ? join(folder, 'claim-of-others') : undefined),
    mintToken: async (_, audience, seconds = 3600) => ({
      token: `${audience ?? 'api'}-${++minted}`,
      expirationTimestamp: new Date(now + seconds * 1000).toISOString(),
    }),
    root,
    now: () => now,
  }
})
afterEach(() => rm(folder, { recursive: true, force: true }))

function keyValues(data: Record<string, string>): KeyValues {
  const entries = Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')])
  return { data: Object.fromEntries(entries) } as unknown as KeyValues
}

function podWith(volumes: Volume[], fsGroup?: number): Pod {
  return {
    metadata: { name: 'p', namespace: 'n', uid: 'u', labels: { app: 'x' } },
    spec: { containers: [], volumes, ...(fsGroup !== undefined && { securityContext: { fsGroup } }) },
  } as unknown as Pod
}

describe('volumes', () => {
  it('of a Secret hold its keys, follow its changes, and never show a mix', async () => {
    const pod = podWith([{ name: 'v', secret: { secretName: 's', defaultMode: 0o600 } }])
    const volumes = new PodVolumes(host)
    const at = (await volumes.prepare(pod, new Map())).get('v') ?? ''
    expect(await readFile(join(at, 'a.txt'), 'utf8')).toBe('one')
    expect((await stat(join(at, 'a.txt'))).mode & 0o777).toBe(0o600)
    secrets = { s: { 'a.txt': 'changed' } }
    await volumes.refresh(pod)
    expect((await readdir(at)).filter((name) => !name.startsWith('..'))).toEqual(['a.txt'])
    expect(await readFile(join(at, 'a.txt'), 'utf8')).toBe('changed')
    // The old set of files is gone: what is left is the new one and the link to it.
    expect(await readdir(at)).toHaveLength(3)
  })

  it('wait for a Secret that does not exist, unless it is optional', async () => {
    const volume = { name: 'v', secret: { secretName: 'later' } }
    await expect(new PodVolumes(host).prepare(podWith([volume]), new Map())).rejects.toThrow(ConfigError)
    const optional = { name: 'v', secret: { secretName: 'later', optional: true } }
    const folders = await new PodVolumes(host).prepare(podWith([optional]), new Map())
    expect(await readdir(folders.get('v') ?? '')).not.toContain('a.txt')
  })

  it('project several sources into one folder, with a token that is renewed before it ends', async () => {
    const pod = podWith([
      {
        name: 'v',
        projected: {
          sources: [
            { secret: { name: 's', items: [{ key: 'b', path: 'deep/file' }] } },
            { downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
            { serviceAccountToken: { path: 'token', audience: 'k', expirationSeconds: 600 } },
          ],
        },
      },
    ])
    const volumes = new PodVolumes(host)
    const at = (await volumes.prepare(pod, new Map())).get('v') ?? ''
    expect(await readFile(join(at, 'deep/file'), 'utf8')).toBe('two')
    expect(await readFile(join(at, 'labels'), 'utf8')).toBe('app="x"\n')
    expect(await readFile(join(at, 'token'), 'utf8')).toBe('k-1')
    now += 479_000
    await volumes.refresh(pod)
    expect(await readFile(join(at, 'token'), 'utf8')).toBe('k-1')
    now += 2000
    await volumes.refresh(pod)
    expect(await readFile(join(at, 'token'), 'utf8')).toBe('k-2')
  })

  it('refuse a path that leaves them', async () => {
    const items = [{ key: 'b', path: '../outside' }]
    const pod = podWith([{ name: 'v', secret: { secretName: 's', items } }])
    await expect(new PodVolumes(host).prepare(pod, new Map())).rejects.toThrow('may not leave')
  })

  it('that are empty folders can be written by everyone, and belong to fsGroup where the node is root', async () => {
    const folders = await new PodVolumes(host).prepare(podWith([{ name: 'v', emptyDir: {} }], 10000), new Map())
    const { mode, gid } = await stat(folders.get('v') ?? '')
    expect(mode & 0o777).toBe(0o777)
    if (root) expect({ setgid: (mode & 0o2000) !== 0, gid }).toEqual({ setgid: true, gid: 10000 })
  })

  it('wait for their claim', async () => {
    const pod = podWith([{ name: 'v', persistentVolumeClaim: { claimName: 'absent' } }])
    await expect(new PodVolumes(host).prepare(pod, new Map())).rejects.toThrow('"absent" not found')
  })
})

describe('mounts', () => {
  const container = {
    name: 'c',
    image: 'i',
    volumeMounts: [
      { name: 'input', mountPath: '/ipc/input/', readOnly: true },
      { name: 'ipc', mountPath: '/ipc' },
      { name: 'ipc', mountPath: '/part', subPath: 'a/b' },
      { name: 'secret', mountPath: '/secret/a', subPath: 'a.txt' },
    ],
  }
  const pod = podWith([
    { name: 'ipc', emptyDir: {} },
    { name: 'input', emptyDir: {} },
    { name: 'secret', secret: { secretName: 's' } },
  ])
  pod.spec.containers = [container]

  it('come outer ones first, with places to lie on, and subPaths inside their volume', async () => {
    const folders = await new PodVolumes(host).prepare(pod, new Map())
    const mounts = await mountsOf(pod, container, { argv: [], confined: true }, folders)
    expect(mounts.map((m) => m.target)).toEqual(['/ipc', '/part', '/ipc/input', '/secret/a'])
    expect(mounts.map((m) => m.readOnly)).toEqual([false, false, true, true])
    expect((await stat(join(folder, 'ipc/input'))).isDirectory()).toBe(true)
    expect(mounts[1]?.source).toBe(join(folder, 'ipc/a/b'))
    expect(await readFile(mounts[3]?.source ?? '', 'utf8')).toBe('one')
  })

  it('make nothing through the links that a container left in a volume', async () => {
    const outside = join(folder, 'outside')
    const volume = join(folder, 'ipc')
    await mkdir(outside)
    await mkdir(volume)
    await symlink(outside, join(volume, 'link'))
    await symlink(join(outside, 'new'), join(volume, 'dangling'))
    const pod = podWith([
      { name: 'ipc', emptyDir: {} },
      { name: 'inner', emptyDir: {} },
    ])
    const folders = new Map([
      ['ipc', volume],
      ['inner', outside],
    ])
    const mountsAt = (...volumeMounts: object[]) =>
      mountsOf(pod, { name: 'c', image: 'i', volumeMounts } as never, { argv: [], confined: true }, folders)
    for (const path of ['link/new', 'link/deep/new', 'dangling', 'dangling/deep']) {
      await expect(mountsAt({ name: 'ipc', mountPath: '/x', subPath: path })).rejects.toThrow(ConfigError)
      await expect(
        mountsAt({ name: 'ipc', mountPath: '/x' }, { name: 'inner', mountPath: `/x/${path}` }),
      ).rejects.toThrow(ConfigError)
    }
    expect(await readdir(outside)).toEqual([])
  })

  it('refuse a subPath that leaves the volume, also by a link in it', async () => {
    const folders = await new PodVolumes(host).prepare(pod, new Map())
    await symlink('/etc', join(folder, 'ipc/link'))
    const at = (subPath: string) => ({ ...container, volumeMounts: [{ name: 'ipc', mountPath: '/x', subPath }] })
    const image = { argv: [], confined: true }
    await expect(mountsOf(pod, at('../secret'), image, folders)).rejects.toThrow('is not inside')
    await expect(mountsOf(pod, at('link'), image, folders)).rejects.toThrow('leads out')
  })

  it('become folders inside folders where there are no mounts', async () => {
    const nested = nestedVolumes(pod)
    expect(nested).toEqual(new Map([['input', { parent: 'ipc', path: 'input' }]]))
    const folders = await new PodVolumes(host).prepare(pod, nested)
    expect(folders.get('input')).toBe(join(folder, 'ipc/input'))
  })
})
