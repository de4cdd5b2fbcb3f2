import * as z from 'zod'

// The grammar of github.com/distribution/reference, in RE2 as the API server reads it: [host[:port]/]path[:tag][@digest].
const hostPart = '[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?'
const host = `${hostPart}(\\.${hostPart})*(:[0-9]{1,5})?`
const pathPart = '[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*'
const repositoryText = `(${host}/)?${pathPart}(/${pathPart})*`
const tagText = '[A-Za-z0-9_][-A-Za-z0-9_.]{0,127}'
const digestText = '(sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})'

/** An image as a container names it. */
export const imageReference = z
  .string()
  .min(1)
  .max(512)
  .regex(
    new RegExp(`^${repositoryText}(:${tagText})?(@${digestText})?$`),
    'must be an image: repository, :tag, @digest',
  )

/** Images by where they come from: a repository, whole, or one digest of it. No tag, because a tag moves. */
export const imageSource = z
  .string()
  .min(1)
  .max(512)
  .regex(new RegExp(`^${repositoryText}(@${digestText})?$`), 'must be a repository or repository@digest, without a tag')

export interface ImageParts {
  /** With its host where one is written: nothing is filled in, so `busybox` is not `docker.io/library/busybox`. */
  repository: string
  tag?: string
  digest?: string
}

/** The parts of an image reference that has passed `imageReference` or `imageSource`. */
export function imageParts(reference: string): ImageParts {
  const [named = '', digest] = reference.split('@')
  // A colon before the last slash belongs to the port of the host.
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1)
  return {
    repository: colon < 0 ? named : named.slice(0, colon),
    ...(colon >= 0 && { tag: named.slice(colon + 1) }),
    ...(digest !== undefined && { digest }),
  }
}
