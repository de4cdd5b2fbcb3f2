import { generateKeyPairSync } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ClawError } from '#core/errors'
import { signNatsJwt } from './nats-jwt.ts'
import { createNkey } from './nkey.ts'

const fileNames = [
  'nats.conf',
  'account.public',
  'signing.seed',
  'run-token.private.pem',
  'run-token.public.pem',
] as const

/**
 * The key material of one installation by file name, as it lies in the Secret `k8sclaw-bus`. The operator's and the
 * account's own private keys are not among them: they sign once, when this is minted, and are forgotten.
 */
export type BusKeys = Record<(typeof fileNames)[number], string>

/** Fresh keys, and the nats-server configuration that trusts them. */
export function mintBusKeys(now = new Date()): BusKeys {
  const operator = createNkey('operator')
  const account = createNkey('account')
  const system = createNkey('account')
  const signing = createNkey('account')
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
      signing_keys: [signing.publicKey],
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
      [system.publicKey]: systemJwt,
    }),
    'account.public': account.publicKey,
    'signing.seed': signing.seed,
    'run-token.private.pem': tokenKeys.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    'run-token.public.pem': tokenKeys.publicKey.export({ format: 'pem', type: 'spki' }).toString(),
  }
}

/** Reads what `mintBusKeys` made from a folder, one file a key. Throws `unavailable` while a file is missing. */
export async function readBusKeys(folder: string): Promise<BusKeys> {
  const read = async (name: (typeof fileNames)[number]) => {
    try {
      return [name, (await readFile(join(folder, name), 'utf8')).trim()] as const
    } catch (cause) {
      throw new ClawError('unavailable', `the bus keys are not complete: ${name} cannot be read in ${folder}`, {
        cause,
      })
    }
  }
  return Object.fromEntries(await Promise.all(fileNames.map(read))) as BusKeys
}

const unlimited = -1
const clientLimits = { subs: unlimited, data: unlimited, payload: unlimited, conn: unlimited, wildcards: true }
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
