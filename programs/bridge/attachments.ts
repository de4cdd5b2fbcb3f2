import { setTimeout as sleep } from 'node:timers/promises'
import type { Bus } from '#core/bus'
import { errorMessage, isClawError } from '#core/errors'
import { attachmentPath, type BroughtFile, getFile, getFileList, type LeftOut, leftOutWords } from '#core/files'
import type { RunAddress } from '#core/identity'
import type { TaskMessage } from '#core/journal'
import type { Logger } from '#core/telemetry'
import type { WorkspaceFiles } from './sandbox-files.ts'

/** A little longer than a channel takes at most for all files of a run. */
const patienceMs = 45_000
const lookAgainMs = 200

export interface AttachmentOptions {
  bus: Bus
  address: RunAddress
  chat: NonNullable<TaskMessage['chat']>
  /** Absent where the run has no sandbox. */
  workspace: WorkspaceFiles | undefined
  signal: AbortSignal
  log: Logger
  patienceMs?: number
}

/** What became of the files that came with the task. */
export interface Attachments {
  /** Where they lie in the workspace. */
  paths: string[]
  /** Those that do not, each as a sentence. */
  leftOut: string[]
}

/**
 * Puts what came with the task into the workspace: what the channel says that it brought, where it is whole and has the
 * hash that was said. A run is not refused for want of a file; its agent is told which is not there.
 */
export async function takeAttachments(options: AttachmentOptions): Promise<Attachments> {
  const { chat, workspace } = options
  const taken: Attachments = { paths: [], leftOut: [] }
  if (chat.brings.length === 0) return taken
  const end = performance.now() + (options.patienceMs ?? patienceMs)
  const list = workspace ? await brought(options, end) : undefined
  for (const [at, name] of chat.brings.entries()) {
    const path = attachmentPath(at + 1, name)
    const file = list?.[at]
    const why = workspace ? await place(options, workspace, { path, file, end }) : 'no_workspace'
    if (why === undefined) taken.paths.push(path)
    else taken.leftOut.push(`${path} is not there: ${typeof why === 'string' ? leftOutWords[why] : why.message}`)
  }
  return taken
}

interface Placing {
  path: string
  file: BroughtFile | undefined
  /** Until when the bus is waited for, on the clock of this process. */
  end: number
}

/** Why a file is not in the workspace; undefined where it is. */
async function place(
  { bus, address, chat, signal, log }: AttachmentOptions,
  workspace: WorkspaceFiles,
  { path, file, end }: Placing,
): Promise<LeftOut | Error | undefined> {
  if (!file) return 'late'
  if ('leftOut' in file) return file.leftOut
  for (;;) {
    try {
      const bytes = await getFile(bus, address, chat, file)
      if (!bytes) return 'unchecked'
      await workspace.put(path, bytes, signal)
      return undefined
    } catch (error) {
      signal.throwIfAborted()
      const mayCome = isClawError(error, 'unavailable')
      if (!mayCome || performance.now() > end) {
        log.warn({ run: address.uid, error: errorMessage(error) }, 'file not put into the workspace')
        return mayCome ? 'late' : new Error(errorMessage(error))
      }
    }
    await sleep(lookAgainMs, undefined, { signal })
  }
}

/** What the channel says that it brought; undefined where it says nothing in time. */
async function brought({ bus, address, chat, signal }: AttachmentOptions, end: number) {
  for (;;) {
    try {
      const list = await getFileList(bus, address, chat)
      if (list) return list
    } catch (error) {
      if (!isClawError(error, 'unavailable')) throw error
    }
    if (performance.now() > end) return undefined
    await sleep(lookAgainMs, undefined, { signal })
  }
}
