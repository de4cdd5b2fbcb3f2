import {
  any,
  anyObject,
  boolean,
  described,
  integer,
  intOrString,
  keyedList,
  list,
  long,
  map,
  object,
  quantity,
  type Schema,
  string,
  time,
} from '../schema/schema.ts'
import { conditions, labelSelector, localReference, objectMeta } from './metadata.ts'

const keyReference = object({ name: string, key: string, optional: boolean }, ['key'])
const fieldReference = object({ apiVersion: string, fieldPath: string }, ['fieldPath'])
const resourceFieldReference = object({ containerName: string, resource: string, divisor: quantity }, ['resource'])

const handler: Record<string, Schema> = {
  exec: object({ command: list(string) }),
  httpGet: object(
    {
      path: string,
      port: intOrString,
      host: string,
      scheme: string,
      httpHeaders: list(object({ name: string, value: string }, ['name', 'value'])),
    },
    ['port'],
  ),
  tcpSocket: object({ port: intOrString, host: string }, ['port']),
}

const probe = object({
  ...handler,
  grpc: object({ port: integer, service: string }, ['port']),
  initialDelaySeconds: integer,
  timeoutSeconds: integer,
  periodSeconds: integer,
  successThreshold: integer,
  failureThreshold: integer,
  terminationGracePeriodSeconds: long,
})

const lifecycleHandler = object({ ...handler, sleep: object({ seconds: long }, ['seconds']) })

const seccompProfile = object({ type: string, localhostProfile: string }, ['type'])

export const resourceRequirements = object({
  limits: map(quantity),
  requests: map(quantity),
  claims: list(object({ name: string, request: string }, ['name'])),
})

const securityContext = object({
  capabilities: object({ add: list(string), drop: list(string) }),
  privileged: boolean,
  seLinuxOptions: anyObject,
  windowsOptions: anyObject,
  runAsUser: long,
  runAsGroup: long,
  runAsNonRoot: boolean,
  readOnlyRootFilesystem: boolean,
  allowPrivilegeEscalation: boolean,
  procMount: string,
  seccompProfile,
  appArmorProfile: seccompProfile,
})

const envFromSource = object({ name: string, optional: boolean })

const container = object(
  {
    name: described(string, 'DNS label, unique in the pod.'),
    image: string,
    command: described(list(string), "Replaces the image's entrypoint. $(NAME) is expanded from env."),
    args: list(string),
    workingDir: string,
    ports: keyedList(
      'containerPort',
      object({ name: string, hostPort: integer, containerPort: integer, protocol: string, hostIP: string }, [
        'containerPort',
      ]),
    ),
    envFrom: list(object({ prefix: string, configMapRef: envFromSource, secretRef: envFromSource })),
    env: keyedList(
      'name',
      object(
        {
          name: string,
          value: string,
          valueFrom: object({
            fieldRef: fieldReference,
            resourceFieldRef: resourceFieldReference,
            configMapKeyRef: keyReference,
            secretKeyRef: keyReference,
          }),
        },
        ['name'],
      ),
    ),
    resources: resourceRequirements,
    resizePolicy: list(anyObject),
    restartPolicy: described(string, 'Always makes an init container a sidecar.'),
    volumeMounts: keyedList(
      'mountPath',
      object(
        {
          name: string,
          mountPath: string,
          readOnly: boolean,
          recursiveReadOnly: string,
          subPath: string,
          subPathExpr: string,
          mountPropagation: string,
        },
        ['name', 'mountPath'],
      ),
    ),
    volumeDevices: keyedList('devicePath', object({ name: string, devicePath: string }, ['name', 'devicePath'])),
    livenessProbe: probe,
    readinessProbe: probe,
    startupProbe: probe,
    lifecycle: object({ postStart: lifecycleHandler, preStop: lifecycleHandler, stopSignal: string }),
    terminationMessagePath: string,
    terminationMessagePolicy: string,
    imagePullPolicy: string,
    securityContext,
    stdin: boolean,
    stdinOnce: boolean,
    tty: boolean,
    targetContainerName: string,
  },
  ['name'],
)

const keyToPath = list(object({ key: string, path: string, mode: integer }, ['key', 'path']))

const downwardItems = list(
  object({ path: string, fieldRef: fieldReference, resourceFieldRef: resourceFieldReference, mode: integer }, ['path']),
)

const volume = object(
  {
    name: string,
    emptyDir: object({ medium: string, sizeLimit: quantity }),
    hostPath: object({ path: string, type: string }, ['path']),
    secret: object({ secretName: string, items: keyToPath, defaultMode: integer, optional: boolean }),
    configMap: object({ name: string, items: keyToPath, defaultMode: integer, optional: boolean }),
    downwardAPI: object({ items: downwardItems, defaultMode: integer }),
    projected: object({
      defaultMode: integer,
      sources: list(
        object({
          secret: object({ name: string, items: keyToPath, optional: boolean }),
          configMap: object({ name: string, items: keyToPath, optional: boolean }),
          downwardAPI: object({ items: downwardItems }),
          serviceAccountToken: object({ audience: string, expirationSeconds: long, path: string }, ['path']),
          clusterTrustBundle: anyObject,
        }),
      ),
    }),
    persistentVolumeClaim: object({ claimName: string, readOnly: boolean }, ['claimName']),
    ephemeral: anyObject,
    csi: anyObject,
    nfs: anyObject,
    image: object({ reference: string, pullPolicy: string }),
  },
  ['name'],
)

const podSecurityContext = object({
  seLinuxOptions: anyObject,
  windowsOptions: anyObject,
  runAsUser: long,
  runAsGroup: long,
  runAsNonRoot: boolean,
  supplementalGroups: list(long),
  supplementalGroupsPolicy: string,
  fsGroup: long,
  fsGroupChangePolicy: string,
  sysctls: list(object({ name: string, value: string }, ['name', 'value'])),
  seccompProfile,
  appArmorProfile: seccompProfile,
})

const toleration = object({
  key: string,
  operator: string,
  value: string,
  effect: string,
  tolerationSeconds: long,
})

export const podSpec: Schema = object(
  {
    volumes: keyedList('name', volume),
    initContainers: keyedList('name', container),
    containers: keyedList('name', container),
    ephemeralContainers: keyedList('name', container),
    restartPolicy: described(string, 'Always, OnFailure or Never.'),
    terminationGracePeriodSeconds: long,
    activeDeadlineSeconds: long,
    dnsPolicy: string,
    nodeSelector: map(string),
    serviceAccountName: string,
    serviceAccount: string,
    automountServiceAccountToken: boolean,
    nodeName: string,
    hostNetwork: boolean,
    hostPID: boolean,
    hostIPC: boolean,
    hostUsers: boolean,
    shareProcessNamespace: boolean,
    securityContext: podSecurityContext,
    imagePullSecrets: keyedList('name', localReference),
    hostname: string,
    subdomain: string,
    setHostnameAsFQDN: boolean,
    affinity: anyObject,
    schedulerName: string,
    tolerations: list(toleration),
    hostAliases: keyedList('ip', object({ ip: string, hostnames: list(string) }, ['ip'])),
    priorityClassName: string,
    priority: integer,
    preemptionPolicy: string,
    dnsConfig: object({
      nameservers: list(string),
      searches: list(string),
      options: list(object({ name: string, value: string })),
    }),
    readinessGates: list(object({ conditionType: string }, ['conditionType'])),
    runtimeClassName: string,
    enableServiceLinks: boolean,
    overhead: map(quantity),
    topologySpreadConstraints: keyedList(
      'topologyKey',
      object({
        maxSkew: integer,
        topologyKey: string,
        whenUnsatisfiable: string,
        labelSelector,
        minDomains: integer,
        nodeAffinityPolicy: string,
        nodeTaintsPolicy: string,
        matchLabelKeys: list(string),
      }),
    ),
    os: object({ name: string }, ['name']),
    schedulingGates: keyedList('name', localReference),
    resourceClaims: keyedList('name', anyObject),
    resources: resourceRequirements,
  },
  ['containers'],
)

const containerState = object({
  waiting: object({ reason: string, message: string }),
  running: object({ startedAt: time }),
  terminated: object({
    exitCode: integer,
    signal: integer,
    reason: string,
    message: string,
    startedAt: time,
    finishedAt: time,
    containerID: string,
  }),
})

const containerStatuses = list(
  object({
    name: string,
    state: containerState,
    lastState: containerState,
    ready: boolean,
    restartCount: integer,
    image: string,
    imageID: string,
    containerID: string,
    started: boolean,
    allocatedResources: map(quantity),
    resources: resourceRequirements,
    volumeMounts: list(anyObject),
    user: anyObject,
  }),
)

export const podStatus: Schema = object({
  observedGeneration: long,
  phase: string,
  conditions,
  message: string,
  reason: string,
  nominatedNodeName: string,
  hostIP: string,
  hostIPs: keyedList('ip', object({ ip: string })),
  podIP: string,
  podIPs: keyedList('ip', object({ ip: string })),
  startTime: time,
  initContainerStatuses: containerStatuses,
  containerStatuses,
  ephemeralContainerStatuses: containerStatuses,
  qosClass: string,
  resize: string,
  resourceClaimStatuses: any,
})

/** The pod that Deployments, ReplicaSets and Jobs make more of. */
export const podTemplate: Schema = object({ metadata: objectMeta, spec: podSpec })
