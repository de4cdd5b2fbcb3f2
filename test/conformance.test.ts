import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startApi } from '#localkube/api'
import { conformance } from './conformance/index.ts'

conformance(
  'localkube',
  async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'k8sclaw-api-'))
    const api = await startApi({ dataDir, address: '127.0.0.1', port: 0, serviceAddress: '127.0.0.1' })
    const kubeconfig = join(dataDir, 'kubeconfig')
    await writeFile(kubeconfig, api.kubeconfig(), { mode: 0o600 })
    return {
      url: api.url,
      caPem: api.caPem,
      token: api.adminToken,
      kubeconfig,
      async close() {
        await api.close()
        await rm(dataDir, { recursive: true, force: true })
      },
    }
  },
  { hasControllers: true },
)
