import { ApiError } from '#localkube/api'

/** For a write to an object that may have gone, or have been changed by another, meanwhile: that is no error. */
export function unlessGone(error: unknown): undefined {
  if (error instanceof ApiError && (error.code === 404 || error.code === 409)) return undefined
  throw error
}
