/**
 * The sandbox: performs commands and file tools in the workspace, told by the bridge over a Unix socket on a volume
 * that only the two mount. It holds nothing, decides nothing and remembers nothing; it promises that a call ends with
 * its processes and that file tools stay in the workspace.
 */
import { tmpdir } from 'node:os'
import * as z from 'zod'
import { errorMessage } from '#core/errors'
import { parseEnvironment, settingsOrExit } from '#core/settings'
import { createLogger, onShutdown } from '#core/telemetry'
import { serveSandbox } from './server.ts'
import { Workspace } from './workspace.ts'

const environment = z.object({
  K8SCLAW_SANDBOX_SOCKET: z.string().min(1).max(100),
  K8SCLAW_WORKSPACE: z.string().startsWith('/'),
  PATH: z.string().default('/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'),
  LANG: z.string().default('C.UTF-8'),
})

const env = settingsOrExit('sandbox', (variables) => parseEnvironment(environment, variables))
const log = createLogger('sandbox')
// What is made here is for the group: the agent reads the workspace, the bridge connects to the socket.
process.umask(0o007)

try {
  const sandbox = await serveSandbox({
    socket: env.K8SCLAW_SANDBOX_SOCKET,
    workspace: new Workspace(env.K8SCLAW_WORKSPACE),
    env: {
      PATH: env.PATH,
      LANG: env.LANG,
      HOME: tmpdir(),
      TMPDIR: tmpdir(),
      K8SCLAW_WORKSPACE: env.K8SCLAW_WORKSPACE,
    },
  })
  onShutdown(log, () => sandbox.close(), 4_500)
  log.info({ socket: env.K8SCLAW_SANDBOX_SOCKET }, 'ready')
} catch (error) {
  log.error({ socket: env.K8SCLAW_SANDBOX_SOCKET }, `cannot listen: ${errorMessage(error)}`)
  process.exit(1)
}
