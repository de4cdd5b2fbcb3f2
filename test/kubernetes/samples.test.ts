import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type AgentRun, agentRuns } from '#core/kinds'
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts'
import { kubernetesAssets } from './assets.ts'

describe.skipIf(!kubernetesAssets()?.hasControllerManager)('the platform on a real control plane', () => {
  let plane: ControlPlane

  beforeAll(async () => {
    plane = await startControlPlane()
  })
  afterAll(async () => await plane?.close())

  test('runs the samples from creation to success, as a user applies them', async () => {
    await plane.kubectl(['apply', '-f', 'config/samples/'])
    const phase = async () => {
      const { status } = await plane.admin.get<AgentRun>(agentRuns, { namespace: 'default', name: 'sample' })
      return status?.phase
    }
    await expect.poll(phase, { timeout: 60_000 }).toBe('Succeeded')
  })
})
