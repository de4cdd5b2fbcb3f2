/** Schemas: how they are written here, and pruning, defaulting, type and rule checks by them. */

export { checkRules, compileRules } from './cel.ts'
export { checkPatterns, compileSchema, walkSchema } from './custom-validator.ts'
export * from './field-error.ts'
export { checkListKeys } from './list-keys.ts'
export { applyDefaults, innerSchema, prune } from './prune.ts'
export type { Schema, ValidationRule } from './schema.ts'
export { findTypeError } from './types-check.ts'
