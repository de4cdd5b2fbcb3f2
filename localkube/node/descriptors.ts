/** Descriptors that this process inherited from whoever started it would be open in every container; they are covered. */
import { openSync, readdirSync, readFileSync } from 'node:fs'

const closeOnExec = 0o2000000

/**
 * The `stdio` of a child beyond the first ones: what is inherited and not its own becomes /dev/null. Node marks what it
 * opens itself as close-on-exec, so only strangers are left; they are found once, when the first child is started.
 */
export function withoutInherited<T>(stdio: T[]): (T | number | 'ignore')[] {
  strangers ??= findStrangers()
  const covered: (T | number | 'ignore')[] = [...stdio]
  for (const fd of strangers.descriptors) {
    if (fd < stdio.length) continue
    while (covered.length < fd) covered.push('ignore')
    covered[fd] = strangers.nothing
  }
  return covered
}

let strangers: { descriptors: number[]; nothing: number } | undefined

function findStrangers(): { descriptors: number[]; nothing: number } {
  const descriptors = readdirSync('/proc/self/fd')
    .map(Number)
    .filter((fd) => fd > 2 && !isClosedOnExec(fd))
    .toSorted((a, b) => a - b)
  return { descriptors, nothing: descriptors.length > 0 ? openSync('/dev/null', 'r+') : -1 }
}

function isClosedOnExec(fd: number): boolean {
  try {
    const flags = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8').match(/^flags:\s*([0-7]+)$/m)?.[1]
    return flags !== undefined && (Number.parseInt(flags, 8) & closeOnExec) !== 0
  } catch {
    // It was the listing itself, and is closed by now.
    return true
  }
}
