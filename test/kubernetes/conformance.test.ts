import { conformance } from '../conformance/index.ts'
import { startKubernetes } from '../support/kubernetes.ts'
import { kubernetesAssets } from './assets.ts'

const assets = kubernetesAssets()
conformance('a real kube-apiserver', startKubernetes, { hasControllers: assets?.hasControllerManager === true })
