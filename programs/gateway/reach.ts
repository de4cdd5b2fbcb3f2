import { lookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { ClawError } from '#core/errors'

/**
 * Where no provider is, whoever writes its baseURL: the metadata services of clouds, which hand out the machine's own
 * credentials, and what reaches whatever happens to be near. Loopback and private networks are not among them: models
 * of one's own are there. In a cluster the NetworkPolicy of the gateway says the same; on one machine nothing else does.
 */
const never = new BlockList()
never.addSubnet('0.0.0.0', 8, 'ipv4')
never.addSubnet('169.254.0.0', 16, 'ipv4')
never.addSubnet('224.0.0.0', 3, 'ipv4')
never.addAddress('100.100.100.200', 'ipv4')
never.addAddress('168.63.129.16', 'ipv4')
never.addAddress('::', 'ipv6')
never.addSubnet('fe80::', 10, 'ipv6')
never.addSubnet('ff00::', 8, 'ipv6')
never.addAddress('fd00:ec2::254', 'ipv6')
// The same behind a translator to IPv4; IPv4 inside IPv6 the list knows by itself.
never.addSubnet('64:ff9b::a9fe:0', 112, 'ipv6')

/** Throws `forbidden` where the host of a URL is an address at which no provider is; names are for `lookupProvider`. */
export function checkHost({ hostname }: URL): void {
  const address = hostname.replace(/^\[(.*)\]$/, '$1')
  if (isNever(address)) throw refused(hostname)
}

/** Resolves a name for a connection, to those of its addresses at which a provider may be: judged as it is connected to. */
export const lookupProvider: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, [])
    const allowed = addresses.filter(({ address }) => !isNever(address))
    const [first] = allowed
    if (!first) callback(refused(hostname), [])
    else if (options.all) callback(null, allowed)
    else callback(null, first.address, first.family)
  })
}

function isNever(address: string): boolean {
  const version = isIP(address)
  return version !== 0 && never.check(address, version === 4 ? 'ipv4' : 'ipv6')
}

function refused(host: string): ClawError {
  return new ClawError('forbidden', `the baseURL leads to ${host}, an address at which no provider may be`)
}
