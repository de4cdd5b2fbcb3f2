import { closeSync } from 'node:fs'
import { posix } from 'node:path'
import { type FileContent, Folder } from '#core/ipc'
import { Refusal } from './refusal.ts'

/** Largest file that the file tools read or edit. */
export const maxFileBytes = 4 * 1024 * 1024

/**
 * The workspace as the file tools see it: every path is walked one component at a time from the folder's own
 * descriptor, following no link, so that there is no way out of it, whatever a command does to it at the same moment.
 */
export class Workspace {
  /** Where it is mounted. */
  readonly root: string

  constructor(root: string) {
    this.root = posix.resolve(root)
  }

  /** `path` as the tools show it: relative to the workspace, `.` for itself. */
  relative(path: string): string {
    const inside = path.startsWith('/') ? posix.relative(this.root, path) : posix.normalize(path)
    if (inside === '..' || inside.startsWith('../'))
      throw new Refusal('invalid_input', `${path}: outside the workspace`)
    return inside.replace(/\/$/, '') || '.'
  }

  /** The path of a folder of the workspace, for a command to start in. */
  folderPath(path: string): string {
    this.openFolder(path).close()
    return posix.join(this.root, this.relative(path))
  }

  /** The folder at `path`; the caller closes it. */
  openFolder(path: string): Folder {
    const inside = this.relative(path)
    return this.#open(path, inside === '.' ? [] : inside.split('/'), false)
  }

  /** The content of a file, up to `maxBytes`. */
  read(path: string, maxBytes = maxFileBytes): FileContent {
    const { folders, name } = this.#fileAt(path)
    using folder = this.#open(path, folders, false)
    const content = folder.read(name, maxBytes, { hardLinks: true })
    if (content === 'too_large') throw new Refusal('invalid_input', `${path}: larger than ${maxBytes} bytes`)
    if (typeof content === 'string') throw Refusal.of(path, content)
    return content
  }

  /** Replaces or creates a file, at once for whoever reads it, and the folders on the way to it. */
  write(path: string, content: string | Uint8Array): { created: boolean } {
    const { folders, name } = this.#fileAt(path)
    using folder = this.#open(path, folders, true)
    const before = folder.openFile(name, { hardLinks: true })
    if (typeof before !== 'string') {
      closeSync(before.descriptor)
      folder.write(name, content, before.mode)
      return { created: false }
    }
    // A file that may not be read may still be replaced; a link, a folder or a device may not.
    if (before !== 'absent' && before !== 'unreadable') throw Refusal.of(path, before)
    folder.write(name, content, 0o664)
    return { created: before === 'absent' }
  }

  #fileAt(path: string): { folders: string[]; name: string } {
    const folders = this.relative(path).split('/')
    const name = folders.pop()
    if (name === undefined || name === '.') throw new Refusal('invalid_input', `${path}: a folder, not a file`)
    return { folders, name }
  }

  #open(path: string, folders: string[], make: boolean): Folder {
    let folder = Folder.open(this.root)
    for (const name of folders) {
      using here = folder
      const next = make ? here.makeFolder(name) : here.openFolder(name)
      if (typeof next === 'string') throw Refusal.of(path, next)
      folder = next
    }
    return folder
  }
}
