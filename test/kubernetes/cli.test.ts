/** The command line by nothing but a kubeconfig: kinds at the API server, streams through its service proxy. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts'
import { execute, k8sclawBinary } from '../support/platform.ts'
import { makeReachable, outerAddress } from '../support/reachable.ts'
import { kubernetesAssets } from './assets.ts'

const address = outerAddress()

describe.skipIf(!address || !kubernetesAssets()?.hasControllerManager)('the command line on a real API server', () => {
  let plane: ControlPlane
  let unreach: (() => Promise<void>) | undefined

  beforeAll(async () => {
    plane = await startControlPlane()
    unreach = await makeReachable(plane, 'k8sclaw-apiserver', address ?? '')
    await plane.kubectl(['apply', '-f', 'config/samples/'])
  })
  afterAll(async () => {
    await unreach?.()
    await plane?.close()
  })

  const as = (kubeconfig: string) => {
    return (...args: string[]) => execute(k8sclawBinary, args, { env: { ...process.env, KUBECONFIG: kubeconfig } })
  }

  test('with a token follows a run to its end, through the service proxy', async () => {
    const k8sclaw = as(plane.kubernetes.kubeconfig)
    const watched = await k8sclaw('runs', 'watch', 'sample')
    expect(watched).toMatchObject({ code: 0, stderr: '' })
    expect(watched.stdout).toContain('Succeeded (Completed)')
    expect((await k8sclaw('runs', 'list')).stdout).toMatch(/sample +sample +Succeeded +Completed/)
    expect((await k8sclaw('doctor')).stdout).not.toContain('FAIL')
  })

  test('with only a client certificate reads and writes kinds', async () => {
    const k8sclaw = as(plane.kubernetes.certificateKubeconfig)
    expect(await k8sclaw('instances', 'list')).toMatchObject({ code: 0, stderr: '' })
    const made = await k8sclaw('run', 'Which system is this?', '--instance', 'sample')
    expect(made).toMatchObject({ code: 0, stderr: '' })
    const name = /agentrun.k8sclaw.io\/(\S+) created/.exec(made.stdout)?.[1] ?? ''
    const { spec } = await plane.getJson<{ spec: object }>('get', 'agentrun', name)
    expect(spec).toMatchObject({ origin: { kind: 'user', detail: 'certificate-admin' } })
    expect(await k8sclaw('runs', 'cancel', name)).toMatchObject({ code: 0, stderr: '' })
  })

  test('with only a client certificate is told why it cannot follow a run', async () => {
    const { code, stderr } = await as(plane.kubernetes.certificateKubeconfig)('runs', 'watch', 'sample')
    expect(code).toBe(1)
    expect(stderr).toContain('this needs a token: the kubeconfig has only a client certificate')
  })
})
