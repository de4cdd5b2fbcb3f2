import { stringify } from 'yaml'

/** YAML as kubectl prints it. A file of its own, because it is loaded only when YAML is asked for. */
export function yamlText(value: unknown): string {
  return stringify(value, { lineWidth: 0 }).trimEnd()
}
