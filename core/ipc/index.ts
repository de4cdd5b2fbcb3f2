/**
 * The /ipc contract, version 1: the shapes of its files, the tools there are with their typed inputs, and the rules by
 * which a file is read without trusting who wrote it. Words and files only: nothing here judges, records or performs.
 */
export { skillOffer, type TaskFile, type ToolOffer, taskFile, toolOffer } from './task.ts'
