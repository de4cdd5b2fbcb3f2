export { type RunAddress, runSubjects } from './subjects.ts'
