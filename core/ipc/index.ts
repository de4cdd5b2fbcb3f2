/**
 * The /ipc contract, version 1: the shapes of its files, the tools there are with their typed inputs, and the rules by
 * which a file is read without trusting who wrote it. Words and files only: nothing here judges, records or performs.
 */
export { type FileFault, faultText } from './fault.ts'
export { type FileContent, Folder, type FolderEntry, type OpenFile } from './folder.ts'
export { limits } from './limits.ts'
export {
  type AgentEvent,
  type AnswerErrorCode,
  type AnswerFile,
  agentEvent,
  answerErrorCodes,
  answerFile,
  type CancelFile,
  callId,
  cancelFile,
  type FollowupFile,
  firstIssue,
  followupFile,
  type Performed,
  performed,
  type ResultFile,
  resultFile,
  type ToolRequest,
  takeFollowup,
  takeFollowupInput,
  toolRequest,
} from './messages.ts'
export { NotStrictJson, parseStrictJson } from './strict-json.ts'
export { readTail, type TailBatch, type TailCursor, tailStart } from './tail.ts'
export { type TaskFile, type ToolOffer, taskFile } from './task.ts'
export {
  type EditFileInput,
  type ExecInput,
  isToolName,
  type ListFilesInput,
  offerOf,
  type ReadFileInput,
  type SearchFilesInput,
  type SendFileInput,
  type ToolName,
  toolNames,
  tools,
  type WriteFileInput,
} from './tools.ts'
export { watchFolder } from './watch.ts'
