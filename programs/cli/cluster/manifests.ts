import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ClawError } from '#core/errors'
import { imageParts, imageReference } from '#core/kinds'
import { installationRoot } from '../installation.ts'
import { type Manifest, parseManifests, resourceOf } from '../manifest-file.ts'

export interface Source {
  /** A file of manifests, or `-` for standard input, instead of config/rendered/default.yaml. */
  filename?: string
  imagePrefix?: string
  tag?: string
  natsImage?: string
}

/** What is installed: the manifests of this installation, or those of a file, with the images that were asked for. */
export function readPlatform({ filename, ...images }: Source): Manifest[] {
  checkImages(images)
  const file = filename ?? join(installationRoot(), 'config', 'rendered', 'default.yaml')
  const text = file === '-' ? readFileSync(0, 'utf8') : readFileSync(file, 'utf8')
  const name = file === '-' ? 'standard input' : file
  const manifests = parseManifests(text, name)
  if (manifests.length === 0) throw new ClawError('malformed', `${name} holds no manifest`)
  return manifests.map((manifest) => withImages(manifest, images))
}

type Images = Pick<Source, 'imagePrefix' | 'tag' | 'natsImage'>

/** Kubernetes would take any text, and the pods would wait for an image that cannot be. */
function checkImages({ imagePrefix = 'k8sclaw', tag = 'dev', natsImage }: Images): void {
  const image = (text: string) => (imageReference.safeParse(text).success ? imageParts(text) : undefined)
  if (!image(`${imagePrefix}/agent`))
    throw new ClawError('invalid', `--image-prefix: ${imagePrefix} cannot begin the name of an image`)
  if (image(`k8sclaw/agent:${tag}`)?.tag !== tag)
    throw new ClawError('invalid', `--tag: ${tag} cannot be the tag of an image`)
  if (natsImage !== undefined && !image(natsImage))
    throw new ClawError('invalid', `--nats-image: ${natsImage} cannot be an image`)
}

/** The images of our programs as the manifests name them, in fields and in variables. */
const ours = /^k8sclaw\/([a-z]+(?:-[a-z]+)*):dev$/
const nats = /^nats:/

/** The same with our images from another registry or of another version. */
export function withImages<T>(value: T, images: Images): T {
  if (Array.isArray(value)) return value.map((one) => withImages(one, images)) as T
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([key, one]) =>
      key === 'image' && images.natsImage && typeof one === 'string' && nats.test(one)
        ? [key, images.natsImage]
        : [key, withImages(one, images)],
    )
    return Object.fromEntries(entries) as T
  }
  if (typeof value !== 'string') return value
  const { imagePrefix = 'k8sclaw', tag = 'dev' } = images
  return value.replace(ours, (_, program: string) => `${imagePrefix}/${program}:${tag}`) as T
}

/** `deployment.apps/k8sclaw-gateway`, as kubectl names an object. */
export function nameOf(manifest: Manifest): string {
  const { group, kind } = resourceOf(manifest)
  return `${kind.toLowerCase()}${group && `.${group}`}/${manifest.metadata.name}`
}
