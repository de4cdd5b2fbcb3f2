/** `k8sclaw`: the command line. */
import { enableCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

// Before everything else, which is compiled once then and not each time. In the user's own folder: what lies in a cache
// is run, and the default one is below /tmp, where anybody could have been first.
enableCompileCache(join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'k8sclaw', 'compiled'))
await import('./commands.ts')
