import { type ImageParts, imageParts, type Model } from '#core/kinds'
import { matchesGlob } from './glob.ts'

/** Whether one of `allowed` matches: provider by provider, name by name, so that a star never reaches over the slash. */
export function admitsModel(allowed: readonly string[], { provider, name }: Model): boolean {
  return allowed.some((glob) => {
    const slash = glob.indexOf('/')
    return matchesGlob(glob.slice(0, slash), provider) && matchesGlob(glob.slice(slash + 1), name)
  })
}

/**
 * Whether an image comes from one of `allowed`. A repository is compared whole and as written: `ghcr.io/org` admits
 * neither `ghcr.io/org-evil` nor `ghcr.io/org/x`, and `docker.io/library/busybox` does not admit `busybox`.
 */
export function admitsImage(allowed: readonly string[], reference: string): boolean {
  const image = imageParts(reference)
  return allowed.some((source) => comesFrom(imageParts(source), image))
}

function comesFrom(source: ImageParts, image: ImageParts): boolean {
  return source.repository === image.repository && (source.digest === undefined || source.digest === image.digest)
}

/**
 * Whether a provider may be spoken to at `url`: one of `allowed`, or below one by whole segments of its path. A URL
 * with a user, a query, a fragment or anything escaped is never admitted: what a server makes of it is not known here.
 */
export function admitsURL(allowed: readonly string[], url: string): boolean {
  const asked = URL.parse(url)
  if (!asked || asked.username || asked.password || asked.search || asked.hash || asked.pathname.includes('%'))
    return false
  return allowed.some((entry) => {
    const base = URL.parse(entry)
    return (
      base !== null && base.origin === asked.origin && withSlash(asked.pathname).startsWith(withSlash(base.pathname))
    )
  })
}

/** The URLs that both lists admit; undefined is the list that admits all. */
export function urlsOfBoth(
  a: readonly string[] | undefined,
  b: readonly string[] | undefined,
): readonly string[] | undefined {
  if (!a || !b) return a ?? b
  return [...new Set([...a.filter((url) => admitsURL(b, url)), ...b.filter((url) => admitsURL(a, url))])]
}

function withSlash(path: string): string {
  return path.endsWith('/') ? path : `${path}/`
}
