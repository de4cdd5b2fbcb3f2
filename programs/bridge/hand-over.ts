import { posix } from 'node:path'
import type { Bus } from '#core/bus'
import { errorMessage, isClawError } from '#core/errors'
import {
  cleanName,
  type FileLimits,
  type FileRef,
  fileRef,
  isAllowedType,
  leftOutWords,
  maxFiles,
  mediaTypeOf,
  putFile,
  roomFor,
} from '#core/files'
import type { RunAddress } from '#core/identity'
import type { SendFileInput } from '#core/ipc'
import type { Entry } from '#core/journal'
import { notOk, type Performed } from './boundary.ts'
import type { WorkspaceFiles } from './sandbox-files.ts'

export interface HandOverOptions {
  bus: Bus
  address: RunAddress
  limits: FileLimits
  /** Bytes that all of it may take of the store. */
  room: number
  workspace: WorkspaceFiles
  /** What was handed over before. */
  handed: () => readonly FileRef[]
}

/** Performs `send_file`: takes the file out of the workspace as it is now and stores it for the channel. */
export function handOverPerformer({ bus, address, limits, room, workspace, handed }: HandOverOptions) {
  // Of calls that go on at once each takes its room before it stores anything.
  let left = room - handed().reduce((sum, { size }) => sum + roomFor(size), 0)
  return async (input: SendFileInput, signal: AbortSignal): Promise<Performed> => {
    try {
      if (handed().length >= maxFiles) return { answer: notOk('too_many', `a run may hand over ${maxFiles} files`) }
      const bytes = await workspace.take(input.path, limits.maxBytes, signal)
      if (bytes === 'too_large')
        return { answer: notOk('failed', `${input.path}: larger than ${limits.maxBytes} bytes`) }
      const type = mediaTypeOf(bytes)
      if (!isAllowedType(limits.types, type))
        return { answer: notOk('failed', `${input.path}: ${leftOutWords.type} (${type})`) }
      if (roomFor(bytes.length) > left) return { answer: notOk('failed', `${input.path}: ${leftOutWords.full}`) }
      left -= roomFor(bytes.length)
      const stored = await putFile(bus, address, 'agent', bytes, signal)
      return {
        answer: { ok: true, output: { name: cleanName(input.name ?? posix.basename(input.path)), type, ...stored } },
      }
    } catch (error) {
      const why = isClawError(error, 'full') ? leftOutWords.full : errorMessage(error)
      return { answer: notOk('failed', `${input.path}: ${why}`) }
    }
  }
}

/** What a run has handed over, by its record: the same file under the same name is one. */
export function handedOver(entries: readonly Entry[]): FileRef[] {
  const files = new Map<string, FileRef>()
  for (const entry of entries) {
    if (entry.kind !== 'answered' || entry.tool !== 'send_file' || !entry.answer.ok) continue
    const file = fileRef.safeParse(entry.answer.output)
    if (file.success) files.set(`${file.data.sha256}/${file.data.name}`, file.data)
  }
  return [...files.values()].slice(0, maxFiles)
}
