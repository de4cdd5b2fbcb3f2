import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  opendirSync,
  openSync,
  readSync,
  renameSync,
  rmdirSync,
  type Stats,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { codeOf, type FileFault, openFault } from './fault.ts'

const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = constants

/** A regular file opened for reading, as it was when it was checked. The opener closes `descriptor`. */
export interface OpenFile {
  descriptor: number
  /** Device, inode and birth: the same file as long as this is the same. */
  identity: string
  size: number
  /** As whoever owns the file says. */
  modifiedMs: number
  /** When it was last written, renamed or given other rights, as the kernel says: nobody can give it another. */
  changedMs: number
  /** Permission bits. */
  mode: number
}

/** One thing in a folder; a link is itself, not what it points to. */
export interface FolderEntry {
  name: string
  kind: 'file' | 'folder' | 'link' | 'other'
}

export interface FileContent {
  bytes: Buffer
  identity: string
  /** When it was last written, renamed or given other rights, as the kernel says: nobody can give it another. */
  changedMs: number
  /** Permission bits. */
  mode: number
}

/**
 * A folder that someone hostile writes into, held by descriptor: renaming it, or putting a link in its place, changes
 * nothing here. Files are reached through /proc/self/fd/<descriptor>/<name>, which is openat(2) by another spelling;
 * Node has no openat. Calls are synchronous on purpose: no open here can block, sizes are bounded, and Node's thread
 * pool, which a few FIFOs would stop for the whole process, is left out of it.
 */
export class Folder {
  readonly #descriptor: number

  private constructor(descriptor: number) {
    this.#descriptor = descriptor
  }

  /** Opens the folder at `path`, which must not itself be a link. Throws the system's error. */
  static open(path: string): Folder {
    return new Folder(openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW))
  }

  /**
   * Opens the folder at `path`, made with `mode` if it is missing. Anything that is not a folder and stands in its
   * place is removed first.
   */
  static make(path: string, mode: number): Folder {
    const made = makeFolder(path)
    const folder = Folder.open(path)
    // mkdir(2) is subject to the umask and ignores the set-group-id bit, which hands the folder's group on to its files.
    if (made) fchmodSync(folder.#descriptor, mode)
    return folder
  }

  /** A path that leads to this folder wherever it has been moved; valid until it is closed. */
  get path(): string {
    return `/proc/self/fd/${this.#descriptor}`
  }

  close(): void {
    closeSync(this.#descriptor)
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** At most `max` of what is in it, in no order. */
  entries(max: number): FolderEntry[] {
    const found: FolderEntry[] = []
    using all = opendirSync(this.path, { bufferSize: 256 })
    while (found.length < max) {
      const entry = all.readSync()
      if (!entry) break
      const kind = entry.isFile() ? 'file' : entry.isDirectory() ? 'folder' : entry.isSymbolicLink() ? 'link' : 'other'
      found.push({ name: entry.name, kind })
    }
    return found
  }

  /** Opens the folder `name` in it, without following. */
  openFolder(name: string): Folder | FileFault {
    if (!isFileName(name)) return 'bad_name'
    try {
      return Folder.open(this.#at(name))
    } catch (error) {
      return openFault(error)
    }
  }

  /** As `openFolder`, making it if it is missing. */
  makeFolder(name: string): Folder | FileFault {
    const there = this.openFolder(name)
    if (there !== 'absent') return there
    try {
      mkdirSync(this.#at(name))
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') return openFault(error)
    }
    return this.openFolder(name)
  }

  /**
   * Opens `name` for reading if it is a regular file; without following, without blocking. A file with a second name
   * could be anybody's, so it is refused but where `hardLinks` says otherwise.
   */
  openFile(name: string, { hardLinks = false } = {}): OpenFile | FileFault {
    if (!isFileName(name)) return 'bad_name'
    let descriptor: number
    try {
      descriptor = openSync(this.#at(name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
    } catch (error) {
      return openFault(error)
    }
    const stat = fstatSync(descriptor)
    const fault = !stat.isFile()
      ? 'not_a_file'
      : stat.nlink > 1 && !hardLinks
        ? 'hard_link'
        : stat.nlink === 0
          ? 'absent'
          : undefined
    if (fault) {
      closeSync(descriptor)
      return fault
    }
    return {
      descriptor,
      identity: identityOf(stat),
      size: stat.size,
      modifiedMs: stat.mtimeMs,
      changedMs: stat.ctimeMs,
      mode: stat.mode & 0o777,
    }
  }

  /** The whole of `name`, read once, if it is at most `maxBytes` long. */
  read(name: string, maxBytes: number, options?: { hardLinks?: boolean }): FileContent | FileFault {
    const file = this.openFile(name, options)
    if (typeof file === 'string') return file
    try {
      if (file.size > maxBytes) return 'too_large'
      // One byte more than the limit, so that a file that grows while it is read is noticed and never outgrows memory.
      const bytes = readAt(file.descriptor, 0, Math.min(file.size + 65_536, maxBytes + 1))
      if (bytes.length > maxBytes) return 'too_large'
      return { bytes, identity: file.identity, changedMs: file.changedMs, mode: file.mode }
    } finally {
      closeSync(file.descriptor)
    }
  }

  /** Whether `name` is still the file of that identity. */
  holds(name: string, identity: string): boolean {
    try {
      return identityOf(lstatSync(this.#at(name))) === identity
    } catch {
      return false
    }
  }

  /** Removes `name`, whatever it is; false where it cannot be (a folder that is not empty, someone else's folder). */
  remove(name: string): boolean {
    if (!isFileName(name)) return false
    try {
      unlinkSync(this.#at(name))
      return true
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return true
    }
    try {
      rmdirSync(this.#at(name))
      return true
    } catch {
      return false
    }
  }

  /**
   * Makes `name` hold exactly `content`, at once for every reader: written under a random new name beside it and
   * renamed. A link or file planted at either name is replaced, never written through.
   */
  write(name: string, content: string | Uint8Array, mode = 0o640): void {
    if (!isFileName(name)) throw new RangeError(`not the name of a file: ${JSON.stringify(name)}`)
    const temporary = this.#at(`.${randomBytes(12).toString('hex')}.tmp`)
    const descriptor = openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode)
    try {
      try {
        const bytes = typeof content === 'string' ? Buffer.from(content) : content
        for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at)
        fchmodSync(descriptor, mode)
      } finally {
        closeSync(descriptor)
      }
      renameSync(temporary, this.#at(name))
    } catch (error) {
      unlinkSync(temporary)
      throw error
    }
  }

  #at(name: string): string {
    return `${this.path}/${name}`
  }
}

/** With the time of birth, because a number freed by one file is given to the next. */
function identityOf({ dev, ino, birthtimeMs }: Stats): string {
  return `${dev}:${ino}:${birthtimeMs}`
}

/** Up to `max` bytes of an open file from `position`. */
export function readAt(descriptor: number, position: number, max: number): Buffer {
  const buffer = Buffer.allocUnsafe(max)
  let length = 0
  while (length < max) {
    const count = readSync(descriptor, buffer, length, max - length, position + length)
    if (count === 0) break
    length += count
  }
  return buffer.subarray(0, length)
}

function isFileName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && name.length <= 255 && !/[/\0]/.test(name)
}

/** True if it was made, false if it was there. */
function makeFolder(path: string): boolean {
  for (let attempt = 0; ; attempt++) {
    try {
      mkdirSync(path)
      return true
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error
    }
    if (lstatSync(path).isDirectory()) return false
    if (attempt > 2) throw new Error(`something that is not a folder keeps appearing at ${path}`)
    unlinkSync(path)
  }
}
