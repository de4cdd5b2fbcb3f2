import { isObject, type Json, listAt, objectAt } from '../json.ts'

/** The defaults of a pod template, as the API documents them; in place. Deployments and Jobs share them. */
export function defaultPodSpec(spec: Json, restartPolicy = 'Always'): void {
  setDefaults(spec, {
    restartPolicy,
    terminationGracePeriodSeconds: 30,
    dnsPolicy: 'ClusterFirst',
    schedulerName: 'default-scheduler',
    securityContext: {},
  })
  if (typeof spec.serviceAccountName !== 'string' && typeof spec.serviceAccount === 'string') {
    spec.serviceAccountName = spec.serviceAccount
  }
  if (typeof spec.serviceAccountName === 'string') spec.serviceAccount = spec.serviceAccountName
  for (const container of containersOf(spec)) defaultContainer(container)
  for (const volume of listAt(spec, 'volumes')) if (isObject(volume)) defaultVolume(volume)
}

export function containersOf(spec: unknown): Json[] {
  return ['initContainers', 'containers', 'ephemeralContainers'].flatMap((list) => listAt(spec, list)).filter(isObject)
}

/** Sets what is absent. */
export function setDefaults(target: Json, defaults: Json): void {
  for (const [key, value] of Object.entries(defaults)) {
    if (target[key] === undefined) target[key] = structuredClone(value)
  }
}

function defaultContainer(container: Json): void {
  const image = typeof container.image === 'string' ? container.image : ''
  setDefaults(container, {
    resources: {},
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
    imagePullPolicy: tagOf(image) === 'latest' ? 'Always' : 'IfNotPresent',
  })
  for (const port of listAt(container, 'ports')) if (isObject(port)) setDefaults(port, { protocol: 'TCP' })
  for (const variable of listAt(container, 'env')) {
    const field = objectAt(variable, 'valueFrom').fieldRef
    if (isObject(field)) setDefaults(field, { apiVersion: 'v1' })
  }
  for (const name of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
    const probe = container[name]
    if (!isObject(probe)) continue
    setDefaults(probe, { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 })
    if (isObject(probe.httpGet)) setDefaults(probe.httpGet, { path: '/', scheme: 'HTTP' })
  }
  defaultRequests(objectAt(container, 'resources'))
}

/** A limit without a request is the request too. */
function defaultRequests(resources: Json): void {
  if (!isObject(resources.limits)) return
  const requests = isObject(resources.requests) ? resources.requests : {}
  resources.requests = requests
  setDefaults(requests, resources.limits)
}

/** A tag is what follows the last colon after the last slash; neither tag nor digest means `latest`. */
function tagOf(image: string): string {
  if (image.includes('@')) return ''
  const last = image.slice(image.lastIndexOf('/') + 1)
  return last.includes(':') ? last.slice(last.indexOf(':') + 1) : 'latest'
}

function defaultVolume(volume: Json): void {
  const sources = Object.keys(volume).filter((key) => key !== 'name')
  if (sources.length === 0) volume.emptyDir = {}
  for (const name of ['secret', 'configMap', 'downwardAPI', 'projected']) {
    const source = volume[name]
    if (isObject(source)) setDefaults(source, { defaultMode: 0o644 })
  }
  for (const source of listAt(volume, 'projected', 'sources')) {
    const token = objectAt(source).serviceAccountToken
    if (isObject(token)) setDefaults(token, { expirationSeconds: 3600 })
  }
  const items = [
    ...listAt(volume, 'downwardAPI', 'items'),
    ...listAt(volume, 'projected', 'sources').flatMap((source) => listAt(source, 'downwardAPI', 'items')),
  ]
  for (const item of items) {
    const field = objectAt(item).fieldRef
    if (isObject(field)) setDefaults(field, { apiVersion: 'v1' })
  }
}
