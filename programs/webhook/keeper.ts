import { isClawError } from '#core/errors'
import { rfc3339 } from '#core/kinds'
import { type Kube, type Secret, secrets } from '#core/kube'
import { blocksOf, type Certificate, isSignedBy, issueCertificate } from './certificate.ts'
import { bundleOf, type Held, nextStep, type Pace, type Situation } from './rotation.ts'

export const certificateSecret = 'k8sclaw-webhook-cert'
const servedSinceAnnotation = 'k8sclaw.io/served-since'

export interface KeeperOptions {
  kube: Pick<Kube, 'find' | 'create' | 'update' | 'get'>
  namespace: string
  pace: Pace
}

/**
 * The certificate that all replicas share, from its Secret, after at most one step of its rotation. Where another
 * replica was faster, what that one wrote is the answer.
 */
export async function keepCertificate(
  { kube, namespace, pace }: KeeperOptions,
  situation: Omit<Situation, 'held'>,
): Promise<Held> {
  const at = { name: certificateSecret, namespace }
  const existing = await kube.find<Secret>(secrets, at)
  const held = existing && fromSecret(existing)
  const changed = await stepped({ ...situation, held }, pace)
  if (!changed && held) return held
  if (!changed) throw new Error('a certificate that nobody holds needs a step')

  const { annotations, data } = toSecret(changed)
  try {
    if (existing) {
      const metadata = { ...existing.metadata, annotations: { ...existing.metadata.annotations, ...annotations } }
      await kube.update<Secret>(secrets, { ...existing, metadata, data })
    } else {
      const type = 'kubernetes.io/tls'
      await kube.create<Secret>(secrets, {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { ...at, annotations },
        type,
        data,
      })
    }
    return changed
  } catch (error) {
    if (!isClawError(error, 'already_exists', 'conflict')) throw error
    const theirs = fromSecret(await kube.get<Secret>(secrets, at))
    if (!theirs) throw error
    return theirs
  }
}

/** What is to be held after the step that is due, where one is. */
async function stepped(situation: Situation, pace: Pace): Promise<Held | undefined> {
  const { held, now } = situation
  const step = nextStep(situation, pace)
  switch (step.step) {
    case 'start':
      return { current: await issueCertificate(step.names, now), previous: [], servedSince: now }
    case 'announce': {
      const { previous = [], servedSince = now } = held ?? {}
      return { current: step.current, next: await issueCertificate(step.names, now), previous, servedSince }
    }
    case 'serve':
      return { current: step.next, previous: held ? authoritiesBefore(held) : [], servedSince: now }
    case 'forget':
      return held && { ...held, previous: [] }
    case 'rest':
      return undefined
  }
}

/** Of a few certificates at most, however often they follow each other before one could be forgotten. */
function authoritiesBefore({ current, previous }: Held): string[] {
  return [current.authority, ...previous].slice(0, 4)
}

/** What the Secret says; undefined where it holds no certificate with an authority for it. */
function fromSecret({ data = {}, metadata }: Secret): Held | undefined {
  const text = (key: string) => Buffer.from(data[key] ?? '', 'base64').toString()
  const authorities = blocksOf(text('ca.crt'))
  const read = (chain: string, key: string): Certificate | undefined => {
    try {
      const authority = authorities.find((one) => isSignedBy(chain, one))
      return authority === undefined ? undefined : { authority, chain, key }
    } catch {
      return undefined // Not a certificate: there is none.
    }
  }
  const current = read(text('tls.crt'), text('tls.key'))
  const next = read(text('next.crt'), text('next.key'))
  if (!current) return undefined
  const previous = authorities.filter((one) => one !== current.authority && one !== next?.authority)
  const since = new Date(metadata.annotations?.[servedSinceAnnotation] ?? 0)
  return { current, next, previous, servedSince: Number.isNaN(since.getTime()) ? new Date(0) : since }
}

function toSecret(held: Held) {
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  const { current, next, servedSince } = held
  return {
    annotations: { [servedSinceAnnotation]: rfc3339(servedSince) },
    data: {
      'ca.crt': base64(bundleOf(held)),
      'tls.crt': base64(current.chain),
      'tls.key': base64(current.key),
      ...(next && { 'next.crt': base64(next.chain), 'next.key': base64(next.key) }),
    },
  }
}
