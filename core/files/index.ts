/**
 * The files of runs: those that come with a message of a chat and those that an agent hands over with its answer, on
 * their way over the bus. It promises that a file is read back whole and unchanged or not at all, and that what it is
 * called and what it claims to be decide nothing: its name is made safe and its type is read from its content. It
 * refuses to know chat services and workspaces.
 */
export { leftOutWords } from './left-out.ts'
export { attachmentPath, cleanName } from './name.ts'
export { isAllowedType, mediaTypeOf } from './sniff.ts'
export { getFile, getFileList, putFile, putFileList, roomFor, storedFiles } from './store.ts'
export {
  type BroughtFile,
  type FileLimits,
  type FileRef,
  fileLimits,
  fileRef,
  type LeftOut,
  maxFileBytes,
  maxFiles,
  roomOfRun,
  usualFileLimits,
} from './words.ts'
