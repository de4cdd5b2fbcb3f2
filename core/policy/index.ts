/**
 * The decisions: what a run is allowed (`resolveRun`, once) and whether one call of it may happen (`judge`, each time).
 * Pure functions of their arguments, so admission, controller and bridge cannot disagree. It promises that no tool is
 * allowed by absence (no policy is the restricted one, no rule is the default action, no gate is off), that a run's own
 * tool policy only ever narrows, and that a child may nothing that its parent may not. It refuses to fetch, to
 * remember, and to know what a tool does beyond its name.
 */
export type { Platform, RunParts } from './draft.ts'
export { gateOf, needsSandbox } from './gates.ts'
export {
  compilePolicy,
  judgeModelNow,
  judgeNow,
  type ModelBounds,
  type PolicyInForce,
  readPolicyInForce,
} from './in-force.ts'
export { type CallFacts, judge, offeredTools, type Verdict } from './judge.ts'
export { depthOf, mayChildStart, mayHaveChild } from './lineage.ts'
export { embeddingsRefused } from './memory.ts'
export { type Refusal, type RefusalReason, refusalReasons } from './refusals.ts'
export { bindingPolicy, maxSteps, maxTokens, type Resolution, resolveRun } from './resolve.ts'
export { configMapSource, packSource, type SkillSource, type SkillSources } from './skills.ts'
