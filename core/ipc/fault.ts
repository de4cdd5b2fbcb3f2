/** Why a file is not read. `absent` is no fault: it went away since its name was seen, or is worth another look. */
export type FileFault =
  | 'absent'
  | 'link'
  | 'hard_link'
  | 'not_a_file'
  | 'not_a_folder'
  | 'unreadable'
  | 'too_large'
  | 'bad_name'

/** What a fault means, for the one who wrote the file. */
export const faultText: Record<FileFault, string> = {
  absent: 'the file is not there',
  link: 'a symbolic link is not followed',
  hard_link: 'the file has more than one name',
  not_a_file: 'not a regular file',
  not_a_folder: 'not a folder, or a symbolic link to one',
  unreadable: 'the file may not be read: it must be readable by the group',
  too_large: 'the file is larger than the limit',
  bad_name: 'not a name of a file in this folder',
}

/** The fault that an error of open(2) stands for. */
export function openFault(error: unknown): FileFault {
  switch (codeOf(error)) {
    case 'ENOENT':
      return 'absent'
    case 'ELOOP':
      return 'link'
    case 'ENOTDIR':
      return 'not_a_folder'
    case 'EACCES':
    case 'EPERM':
      return 'unreadable'
    // A socket, or a FIFO or device without its other side.
    case 'ENXIO':
    case 'ENODEV':
      return 'not_a_file'
    case 'ENAMETOOLONG':
    case 'EINVAL':
    case 'EILSEQ':
      return 'bad_name'
    default:
      // A shortage of ours (EMFILE, ENOMEM) that passes: to the caller it is not there yet.
      return 'absent'
  }
}

/** The code of a system error, such as ENOENT. */
export function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
