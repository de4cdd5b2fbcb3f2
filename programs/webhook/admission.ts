import { isDeepStrictEqual } from 'node:util'
import { clawPolicySpec, parseSpec, skillPackSpec } from '#core/kinds'
import type { Admission } from './context.ts'
import { admitInstance } from './instances.ts'
import { admitRun } from './runs.ts'

/** By plural, which is the last segment of the path that a webhook configuration calls. */
export const admissions: Readonly<Record<string, Admission>> = {
  agentruns: admitRun,
  clawinstances: unlessUnchanged(admitInstance),
  // A policy may shut out what its instances ask for: those who write policies decide, and runs say what they lack.
  clawpolicies: unlessUnchanged(async ({ object }) => void parseSpec(clawPolicySpec, object?.spec)),
  skillpacks: unlessUnchanged(async ({ object }) => void parseSpec(skillPackSpec, object?.spec)),
}

/**
 * An object whose spec stays as it was is not judged again: labels, finalizers and owner references must remain
 * writable on objects that a later rule would refuse, or they could never be deleted.
 */
function unlessUnchanged(admit: Admission): Admission {
  return async (request, context) => {
    const writes = request.operation === 'CREATE' || request.operation === 'UPDATE'
    const unchanged = request.oldObject && isDeepStrictEqual(request.object?.spec, request.oldObject.spec)
    if (writes && !unchanged) await admit(request, context)
  }
}
