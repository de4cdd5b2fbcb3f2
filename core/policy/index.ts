/**
 * The decisions: what a run is allowed (`resolveRun`, once) and whether one call of it may happen (`judge`, each time).
 * Pure functions of their arguments, so admission, controller and bridge cannot disagree. It promises that nothing is
 * allowed by absence: no policy is the restricted one, no rule is the default action, no gate is off, and a run's own
 * tool policy only ever narrows. It refuses to fetch, to remember, and to know what a tool does beyond its name.
 */
export { gateOf, needsSandbox } from './gates.ts'
export { type CallFacts, judge, offeredTools, type Verdict } from './judge.ts'
export {
  bindingPolicy,
  maxSteps,
  maxTokens,
  type Platform,
  type Refusal,
  type RefusalReason,
  type Resolution,
  resolveRun,
  type SkillSource,
} from './resolve.ts'
