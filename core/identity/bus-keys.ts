import { generateKeyPairSync } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ClawError } from '#core/errors'
import { channelConsumerInfo } from './channel-subjects.ts'
import { signNatsJwt } from './nats-jwt.ts'
import { createNkey } from './nkey.ts'
import { runConsumerInfo } from './permissions.ts'

const signing = [
  'account.public',
  'runs.public',
  'signing.seed',
  'run-token.private.pem',
  'run-token.public.pem',
] as const

/** What signs the identities of bus users and the tokens of runs. */
export type SigningKeys = Record<(typeof signing)[number], string>

/**
 * The key material of one installation by file name, as it lies in the Secret `k8sclaw-bus`. The operator's and the
 * account's own private keys are not among them: they sign once, when this is minted, and are forgotten.
 */
export type BusKeys = SigningKeys & Record<'nats.conf', string>

/** Fresh keys, and the nats-server configuration that trusts them. */
export function mintBusKeys(now = new Date()): BusKeys {
  const operator = createNkey('operator')
  const account = createNkey('account')
  const runs = createNkey('account')
  const system = createNkey('account')
  const signer = createNkey('account')
  const issuedAt = Math.floor(now.getTime() / 1000)
  const operatorJwt = signNatsJwt(operator.seed, {
    iat: issuedAt,
    sub: operator.publicKey,
    name: 'k8sclaw',
    nats: { type: 'operator', version: 2, system_account: system.publicKey },
  })
  const accountJwt = signNatsJwt(operator.seed, {
    iat: issuedAt,
    sub: account.publicKey,
    name: 'k8sclaw',
    nats: {
      type: 'account',
      version: 2,
      limits: { ...clientLimits, ...jetstreamLimits },
      signing_keys: [signer.publicKey],
      exports: [
        ...services.map(({ local_subject: _, ...service }) => ({ ...service, type: 'service' })),
        ...told.map((stream) => ({ ...stream, type: 'stream' })),
      ],
    },
  })
  const runsJwt = signNatsJwt(operator.seed, {
    iat: issuedAt,
    sub: runs.publicKey,
    name: 'k8sclaw runs',
    nats: {
      type: 'account',
      version: 2,
      limits: clientLimits,
      signing_keys: [signer.publicKey],
      imports: [
        ...services.map(({ response_type: _, ...service }) => ({ ...service, type: 'service' })),
        ...told.map((stream) => ({ ...stream, type: 'stream' })),
      ].map((passed) => ({ ...passed, account: account.publicKey })),
    },
  })
  const systemJwt = signNatsJwt(operator.seed, {
    iat: issuedAt,
    sub: system.publicKey,
    name: 'system',
    nats: { type: 'account', version: 2, limits: clientLimits },
  })
  const tokenKeys = generateKeyPairSync('ed25519')
  return {
    'nats.conf': natsConf(operatorJwt, system.publicKey, {
      [account.publicKey]: accountJwt,
      [runs.publicKey]: runsJwt,
      [system.publicKey]: systemJwt,
    }),
    'account.public': account.publicKey,
    'runs.public': runs.publicKey,
    'signing.seed': signer.seed,
    'run-token.private.pem': tokenKeys.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    'run-token.public.pem': tokenKeys.publicKey.export({ format: 'pem', type: 'spki' }).toString(),
  }
}

/**
 * Reads from a folder, one file a key, what it takes to sign identities: all that `mintBusKeys` made but the server's
 * configuration, which is somebody else's where the server is. Throws `unavailable` while a file is missing.
 */
export async function readBusKeys(folder: string): Promise<SigningKeys> {
  const read = async (name: (typeof signing)[number]) => {
    try {
      return [name, (await readFile(join(folder, name), 'utf8')).trim()] as const
    } catch (cause) {
      throw new ClawError('unavailable', `the bus keys are not complete: ${name} cannot be read in ${folder}`, {
        cause,
      })
    }
  }
  return Object.fromEntries(await Promise.all(signing.map(read))) as SigningKeys
}

const unlimited = -1
const clientLimits = {
  subs: unlimited,
  data: unlimited,
  payload: unlimited,
  conn: unlimited,
  imports: unlimited,
  exports: unlimited,
  wildcards: true,
}
/** Without these in its JWT an account has no JetStream at all. */
const jetstreamLimits = { mem_storage: unlimited, disk_storage: unlimited, streams: unlimited, consumer: unlimited }

/** Everything but listen address and store folder, which are flags of nats-server. Starts on 2.9 and later. */
function natsConf(operatorJwt: string, systemAccount: string, preload: Record<string, string>): string {
  return `# Generated with the keys of this installation; there is no other copy of the keys that signed it.
operator: ${operatorJwt}
system_account: ${systemAccount}
resolver: MEMORY
resolver_preload: {
${Object.entries(preload)
  .map(([key, jwt]) => `  ${key}: ${jwt}`)
  .join('\n')}
}
max_payload: 8MB
jetstream: enabled
`
}

/**
 * What runs and channels may send into the account of the streams. They live in an account of their own because nats-server answers
 * to whatever reply subject a request names, and asks nobody whether the sender could publish there: within one
 * account, an acknowledgement sent to `$JS.API.STREAM.DELETE.RUNS` deletes everybody's record.
 */
const services = [
  { name: 'journal', subject: 'k8sclaw.*.*.run.*.journal' },
  { name: 'outcome', subject: 'k8sclaw.*.*.run.*.outcome' },
  { name: 'live', subject: 'k8sclaw.*.*.run.*.live.agent' },
  { name: 'next', subject: '$JS.API.CONSUMER.MSG.NEXT.RUNS.*', response_type: 'Stream' },
  { name: 'ack', subject: '$JS.ACK.RUNS.>' },
  // By another name there, since every account has a JetStream API of its own, if only to say that it is not enabled.
  { name: 'info', subject: '$JS.API.CONSUMER.INFO.RUNS.*', local_subject: runConsumerInfo('$1') },
  {
    name: 'policy',
    subject: '$JS.API.DIRECT.GET.KV_policies.$KV.policies.*.*',
    local_subject: 'k8sclaw.policy.$1.$2',
  },
  { name: 'received', subject: 'k8sclaw.*.*.channel.*.received' },
  { name: 'health', subject: 'k8sclaw.*.*.channel.*.health' },
  { name: 'next item', subject: '$JS.API.CONSUMER.MSG.NEXT.CHANNEL_SEND.*', response_type: 'Stream' },
  { name: 'ack item', subject: '$JS.ACK.CHANNEL_SEND.>' },
  {
    name: 'channel info',
    subject: '$JS.API.CONSUMER.INFO.CHANNEL_SEND.*',
    local_subject: channelConsumerInfo('$1'),
  },
  { name: 'put sent', subject: '$KV.sent.*.*.*.*' },
  {
    name: 'get sent',
    subject: '$JS.API.DIRECT.GET.KV_sent.$KV.sent.*.*.*.*',
    local_subject: 'k8sclaw.sent.$1.$2.$3.$4',
  },
  { name: 'put file', subject: 'k8sclaw.*.*.run.*.file.*.*.*' },
  {
    name: 'get file',
    subject: '$JS.API.DIRECT.GET.FILES.k8sclaw.*.*.run.*.file.*.*.*',
    local_subject: 'k8sclaw.file.$1.$2.$3.$4.$5.$6',
  },
]

/** What runs may listen to, that a policy changed and how; and channels, the text of a model as it streams. */
const told = [
  { name: 'policies', subject: 'k8sclaw.policies.*.*' },
  { name: 'live model', subject: 'k8sclaw.*.*.run.*.live.model' },
]
