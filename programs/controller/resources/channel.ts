import type { ChannelAddress } from '#core/identity'
import type { Channel, ChannelType, ClawInstance, KubeObject, Resource } from '#core/kinds'
import { childName, deployments, networkPolicies, ownerReference, serviceAccounts, services } from '#core/kube'
import { identityAudience, instanceLabel } from './job.ts'
import { channelNetworkPolicySpec, type ExternalBus } from './network-policy.ts'
import { managedLabel } from './tenant.ts'

/** Label of everything that belongs to one channel, beside that of its instance: the channel's name. */
export const channelLabel = 'k8sclaw.io/channel'

/** What the platform puts into every channel's pod. */
export interface ChannelSettings {
  /** The program of each service. */
  images: Readonly<Record<ChannelType, string>>
  identityUrl: string
  busUrl: string
  /** The authorities that channels believe inside the platform, PEM; absent where nothing there speaks TLS. */
  caPem?: string | undefined
  systemNamespace: string
  externalBus?: ExternalBus | undefined
}

/**
 * Keys of a channel's Secret, which are variables of its program. The first are required; no other key enters the pod,
 * so that whoever may write the Secret decides nothing else there.
 */
export const secretKeys: Readonly<Record<ChannelType, { required: readonly string[]; optional: readonly string[] }>> = {
  telegram: {
    required: ['TELEGRAM_BOT_TOKEN'],
    optional: ['TELEGRAM_WEBHOOK_SECRET', 'TELEGRAM_WEBHOOK_URL', 'TELEGRAM_API_URL'],
  },
  slack: { required: ['SLACK_BOT_TOKEN'], optional: ['SLACK_APP_TOKEN', 'SLACK_SIGNING_SECRET', 'SLACK_API_URL'] },
  discord: { required: ['DISCORD_BOT_TOKEN'], optional: ['DISCORD_API_URL', 'DISCORD_CDN_URL'] },
  whatsapp: {
    required: ['WHATSAPP_ACCESS_TOKEN', 'WHATSAPP_PHONE_NUMBER_ID', 'WHATSAPP_APP_SECRET', 'WHATSAPP_VERIFY_TOKEN'],
    optional: ['WHATSAPP_TEMPLATE', 'WHATSAPP_API_URL'],
  },
}

/** Whose services call the channel, always or where its Secret says so. */
const called: ReadonlySet<ChannelType> = new Set(['telegram', 'slack', 'whatsapp'])

/** One object of a channel. */
export interface ChannelChild {
  resource: Resource
  object: KubeObject & Record<string, unknown>
}

const uid = 10004
const port = 8080
const metricsPort = 9464
const secretDir = '/etc/k8sclaw/channel'
const tokenDir = '/var/run/secrets/k8sclaw'

/** Name of the objects of a channel. Another type is another program and begins anew. */
export function channelName(instance: string, { name, type }: Pick<Channel, 'name' | 'type'>): string {
  return childName([instance, name], { salt: type })
}

/** A channel as the bus knows it. */
export function addressOfChannel({ metadata }: ClawInstance, { name }: Pick<Channel, 'name'>): ChannelAddress {
  return { namespace: metadata.namespace ?? 'default', instance: metadata.name, channel: name }
}

/**
 * What a channel has: what it may reach, who it is, where its service calls it, and its one pod. In this order, so that
 * the pod cannot start before it is closed in.
 */
export function channelChildren(instance: ClawInstance, channel: Channel, settings: ChannelSettings): ChannelChild[] {
  const { namespace = 'default' } = instance.metadata
  const labels = { ...managedLabel, [instanceLabel]: instance.metadata.name, [channelLabel]: channel.name }
  const name = channelName(instance.metadata.name, channel)
  const metadata = { name, namespace, labels, ownerReferences: [ownerReference(instance)] }
  const isCalled = called.has(channel.type)
  const callPort = isCalled ? port : undefined
  return [
    {
      resource: networkPolicies,
      object: {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'NetworkPolicy',
        metadata,
        spec: channelNetworkPolicySpec({ ...settings, labels, callPort, metricsPort }),
      },
    },
    {
      resource: serviceAccounts,
      object: { apiVersion: 'v1', kind: 'ServiceAccount', metadata, automountServiceAccountToken: false },
    },
    ...(isCalled
      ? [
          {
            resource: services,
            object: {
              apiVersion: 'v1',
              kind: 'Service',
              metadata,
              spec: {
                type: 'ClusterIP',
                selector: labels,
                ports: [{ name: 'http', protocol: 'TCP', port, targetPort: 'http' }],
              },
            },
          },
        ]
      : []),
    {
      resource: deployments,
      object: {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata,
        spec: {
          replicas: 1,
          // A service gives one of two with the same token nothing, or both the same.
          strategy: { type: 'Recreate' },
          revisionHistoryLimit: 1,
          selector: { matchLabels: labels },
          template: {
            metadata: { labels },
            spec: { ...podSpec(instance, channel, settings), serviceAccountName: name },
          },
        },
      },
    },
  ]
}

function podSpec(instance: ClawInstance, channel: Channel, settings: ChannelSettings) {
  const { imagePullSecrets } = instance.spec
  const { name: secretName } = channel.secretRef
  const { required, optional } = secretKeys[channel.type]
  return {
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    // Long enough for the message that is being posted, and for what the bus is told of it.
    terminationGracePeriodSeconds: 30,
    ...(imagePullSecrets ? { imagePullSecrets } : {}),
    securityContext: {
      runAsNonRoot: true,
      runAsUser: uid,
      runAsGroup: uid,
      fsGroup: uid,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    containers: [
      {
        name: 'channel',
        image: settings.images[channel.type],
        imagePullPolicy: 'IfNotPresent',
        env: [...environment(instance, channel, settings), ...secretVariables(channel)],
        ports: [
          { name: 'http', containerPort: port },
          { name: 'metrics', containerPort: metricsPort },
        ],
        readinessProbe: { httpGet: { path: '/readyz', port: 'http' }, periodSeconds: 5 },
        livenessProbe: { httpGet: { path: '/healthz', port: 'http' }, periodSeconds: 10, failureThreshold: 6 },
        volumeMounts: [
          { name: 'token', mountPath: tokenDir, readOnly: true },
          { name: 'secret', mountPath: secretDir, readOnly: true },
        ],
        resources: { requests: { cpu: '20m', memory: '96Mi' }, limits: { memory: '256Mi' } },
        // The last lines of a program that ends at once are shown in the instance's status.
        terminationMessagePolicy: 'FallbackToLogsOnError',
        securityContext: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        },
      },
    ],
    volumes: [
      {
        name: 'token',
        projected: {
          defaultMode: 0o440,
          sources: [{ serviceAccountToken: { audience: identityAudience, expirationSeconds: 600, path: 'token' } }],
        },
      },
      {
        // What the variables were taken from, as it is now: a channel whose Secret has changed begins anew.
        name: 'secret',
        secret: {
          secretName,
          defaultMode: 0o440,
          optional: true,
          items: [...required, ...optional].map((key) => ({ key, path: key })),
        },
      },
    ],
  }
}

function environment(instance: ClawInstance, channel: Channel, settings: ChannelSettings) {
  const { namespace, instance: name } = addressOfChannel(instance, channel)
  const variables: Record<string, string> = {
    K8SCLAW_NAMESPACE: namespace,
    INSTANCE_NAME: name,
    CHANNEL_NAME: channel.name,
    EVENT_BUS_URL: settings.busUrl,
    K8SCLAW_IDENTITY_URL: settings.identityUrl,
    K8SCLAW_TOKEN_FILE: `${tokenDir}/token`,
    K8SCLAW_SECRET_DIR: secretDir,
    K8SCLAW_LISTEN: `$(POD_IP):${port}`,
    K8SCLAW_METRICS_LISTEN: `$(POD_IP):${metricsPort}`,
    ...(settings.caPem === undefined ? {} : { K8SCLAW_CA: settings.caPem }),
  }
  return [
    { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
    ...Object.entries(variables).map(([key, value]) => ({ name: key, value })),
  ]
}

function secretVariables({ type, secretRef }: Channel) {
  const { required, optional } = secretKeys[type]
  const variable = (key: string, more: object) => ({
    name: key,
    valueFrom: { secretKeyRef: { name: secretRef.name, key, ...more } },
  })
  return [...required.map((key) => variable(key, {})), ...optional.map((key) => variable(key, { optional: true }))]
}
