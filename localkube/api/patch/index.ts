/** The three ways in which clients change a part of an object. */
export { jsonPatch } from './json-patch.ts'
export { mergePatch } from './merge-patch.ts'
export { strategicMerge } from './strategic-merge.ts'
