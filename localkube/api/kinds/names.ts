import { type FieldError, invalid, required } from '../schema/index.ts'

/** How an object may be called: `subdomain` for most, `label` where names become host names, `path` for RBAC. */
export type NameRule = 'subdomain' | 'label' | 'serviceLabel' | 'path'

const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/

export function isLabel(name: string): boolean {
  return name.length <= 63 && label.test(name)
}

export function isSubdomain(name: string): boolean {
  return name.length <= 253 && subdomain.test(name)
}

/** Findings about a name, in the words of kube-apiserver. */
export function validateName(name: string, rule: NameRule, field = 'metadata.name'): FieldError[] {
  if (name === '') return [required(field, 'name or generateName is required')]
  switch (rule) {
    case 'path':
      return /^\.{1,2}$|[/%]/.test(name) || name.length > 253
        ? [invalid(field, name, "may not be '.' or '..' and may not contain '/' or '%'")]
        : []
    case 'label':
      return isLabel(name)
        ? []
        : [
            invalid(
              field,
              name,
              "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
            ),
          ]
    case 'serviceLabel':
      return isLabel(name) && /^[a-z]/.test(name)
        ? []
        : [
            invalid(
              field,
              name,
              "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
            ),
          ]
    case 'subdomain':
      return isSubdomain(name)
        ? []
        : [
            invalid(
              field,
              name,
              "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ),
          ]
  }
}

const labelValue = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/
const qualifiedName = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/

/** A label or annotation key: an optional DNS prefix and a name of at most 63 characters. */
export function isQualifiedName(key: string): boolean {
  const parts = key.split('/')
  const name = parts.at(-1) ?? ''
  if (parts.length > 2 || name.length > 63 || !qualifiedName.test(name)) return false
  return parts.length === 1 || isSubdomain(parts[0] ?? '')
}

export function isLabelValue(value: string): boolean {
  return value.length <= 63 && labelValue.test(value)
}
