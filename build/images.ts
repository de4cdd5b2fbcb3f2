/**
 * `make docker-build` and `make docker-push`: one image for each program that runs in a cluster, with docker, podman or
 * buildah, whichever works here. The build context holds what images/Containerfile copies and nothing else. By environment:
 *
 * - CONTAINER_TOOL: the tool to use
 * - IMAGE_PREFIX (k8sclaw) and TAG (dev): an image is IMAGE_PREFIX/PROGRAM:TAG
 * - BASE, SHELL_BASE: what they stand on; agent and sandbox stand on the second, because agents run commands there
 * - NODE_BINARY: a Node for Linux and the target's processor, where the one that runs this is another
 * - PROGRAMS: only these
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The programs, whether a shell must be beside them, which other folders of dist/, and what is set for their young generation. */
const programs: Record<string, { needsShell: boolean; beside?: string[]; youngMiB?: number }> = {
  // As in programs/cli/standalone/images.ts.
  controller: { needsShell: false, youngMiB: 8 },
  apiserver: { needsShell: false, beside: ['embedder'] },
  webhook: { needsShell: false },
  gateway: { needsShell: false },
  bridge: { needsShell: false },
  sandbox: { needsShell: true },
  agent: { needsShell: true },
}
for (const type of readdirSync('programs/channels')) {
  if (existsSync(`programs/channels/${type}/main.ts`)) programs[`channel-${type}`] = { needsShell: false }
}
const { env } = process
const prefix = env.IMAGE_PREFIX || 'k8sclaw'
const tag = env.TAG || 'dev'
const base = env.BASE || 'gcr.io/distroless/cc-debian12:nonroot'
const shellBase = env.SHELL_BASE || env.BASE || 'docker.io/library/debian:bookworm-slim'

const wanted = env.PROGRAMS?.split(/[\s,]+/).filter(Boolean) ?? Object.keys(programs)
for (const name of wanted) {
  if (!programs[name]) fail(`there is no image of ${name}; there are ${Object.keys(programs).join(', ')}`)
}
const tool = containerTool()
if (process.argv[2] === 'push') for (const name of wanted) run(['push', reference(name)])
else build()

function build(): void {
  const node = env.NODE_BINARY || process.execPath
  if (!env.NODE_BINARY && process.platform !== 'linux')
    fail(`this Node is one for ${process.platform}: set NODE_BINARY to the path of one for Linux`)
  const bundles = wanted.flatMap((name) => [name, ...(programs[name]?.beside ?? [])])
  execFileSync('node', ['build/bundle.ts', ...bundles], { stdio: ['ignore', 'ignore', 'inherit'] })
  const context = mkdtempSync(join(tmpdir(), 'k8sclaw-image-'))
  try {
    copyFileSync(node, join(context, 'node'))
    chmodSync(join(context, 'node'), 0o755)
    for (const name of ['passwd', 'group']) copyFileSync(join('images', name), join(context, name))
    for (const name of wanted) {
      mkdirSync(join(context, name))
      copyFileSync(join('dist', `${name}.mjs`), join(context, name, 'program.mjs'))
      for (const folder of programs[name]?.beside ?? [])
        cpSync(join('dist', folder), join(context, name, folder), { recursive: true })
    }
    for (const name of wanted) {
      const from = programs[name]?.needsShell ? shellBase : base
      const buildArgs = { BASE: from, PROGRAM: name, YOUNG_MIB: programs[name]?.youngMiB ?? 1 }
      const args = Object.entries(buildArgs).flatMap(([key, value]) => ['--build-arg', `${key}=${value}`])
      args.push('--tag', reference(name))
      run(['build', ...args, '--file', 'images/Containerfile', context])
      const size = execFileSync(tool, ['images', '--format', '{{.Size}}', reference(name)], { encoding: 'utf8' })
      console.log(`${reference(name).padEnd(48)} ${size.trim()}`)
    }
  } finally {
    rmSync(context, { recursive: true, force: true })
  }
}

function reference(name: string): string {
  return `${prefix}/${name}:${tag}`
}

/** The tool that was named, or the first that is there and answers: a docker without its daemon does not. */
function containerTool(): string {
  if (env.CONTAINER_TOOL) return env.CONTAINER_TOOL
  const found = ['docker', 'podman', 'buildah'].find(
    (name) => spawnSync(name, ['info'], { stdio: 'ignore' }).status === 0,
  )
  return found ?? fail('docker, podman or buildah is needed to build images, and none of them answers here')
}

/** Runs the tool; what it says is shown where it fails. */
function run(args: string[]): void {
  const { status, stdout, stderr, error } = spawnSync(tool, args, { encoding: 'utf8', maxBuffer: 1 << 28 })
  if (status === 0) return
  process.stderr.write(`${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}\n`)
  fail(`${tool} ${args[0]} failed; see above`)
}

function fail(sentence: string): never {
  console.error(`k8sclaw: ${sentence}`)
  process.exit(1)
}
