/**
 * How a program reads its environment: the variables that several programs share, and one way to say what is wrong.
 * It promises that a missing or unusable variable is one sentence that names it, before anything is started; it
 * refuses to read anything but the environment it is handed.
 */
export { parseEnvironment, settingsOrExit } from './environment.ts'
export {
  busUrl,
  databaseUrl,
  httpUrl,
  type Listen,
  listen,
  metricsVariables,
  platformOf,
  platformVariables,
  tlsVariables,
  trustOf,
} from './variables.ts'
