import { isObject, type Json, listAt, objectAt, stringAt } from '../json.ts'
import { quantityOf } from '../quantity.ts'
import { duplicate, type FieldError, invalid, notFound, required, unsupported } from '../schema/index.ts'
import { isLabel } from './names.ts'

/** What a pod must fulfil beyond its types, wherever its template stands. */
export function validatePodSpec(spec: Json, path: string): FieldError[] {
  const errors: FieldError[] = []
  const containers = listAt(spec, 'containers')
  if (containers.length === 0) errors.push(required(`${path}.containers`))
  const volumes = new Set<string>()
  for (const [index, volume] of listAt(spec, 'volumes').entries()) {
    const at = `${path}.volumes[${index}]`
    const name = stringAt(volume, 'name')
    errors.push(...validateLabel(name, `${at}.name`))
    if (volumes.has(name)) errors.push(duplicate(`${at}.name`, name))
    volumes.add(name)
    const { sizeLimit } = objectAt(volume, 'emptyDir')
    if (sizeLimit !== undefined && !((quantityOf(sizeLimit) ?? -1) >= 0))
      errors.push(invalid(`${at}.emptyDir.sizeLimit`, sizeLimit, 'must be a quantity greater than or equal to 0'))
    if (isObject(volume) && Object.keys(volume).length > 2) {
      errors.push({
        reason: 'FieldValueForbidden',
        field: at,
        detail: 'Forbidden: may not specify more than 1 volume type',
      })
    }
  }
  const names = new Set<string>()
  for (const list of ['initContainers', 'containers']) {
    for (const [index, container] of listAt(spec, list).entries()) {
      if (isObject(container)) {
        errors.push(
          ...validateContainer(container, `${path}.${list}[${index}]`, {
            names,
            volumes,
            isInit: list !== 'containers',
          }),
        )
      }
    }
  }
  errors.push(...oneOf(spec.restartPolicy, ['Always', 'OnFailure', 'Never'], `${path}.restartPolicy`))
  errors.push(
    ...oneOf(spec.dnsPolicy, ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None'], `${path}.dnsPolicy`),
  )
  for (const field of ['terminationGracePeriodSeconds', 'activeDeadlineSeconds']) {
    const value = spec[field]
    if (typeof value === 'number' && value < 0) {
      errors.push(invalid(`${path}.${field}`, value, 'must be greater than or equal to 0'))
    }
  }
  return errors
}

interface Surroundings {
  names: Set<string>
  volumes: Set<string>
  isInit: boolean
}

function validateContainer(container: Json, path: string, { names, volumes, isInit }: Surroundings): FieldError[] {
  const errors: FieldError[] = []
  const name = stringAt(container, 'name')
  errors.push(...validateLabel(name, `${path}.name`))
  if (names.has(name)) errors.push(duplicate(`${path}.name`, name))
  names.add(name)
  if (stringAt(container, 'image').trim() === '') errors.push(required(`${path}.image`))
  errors.push(...oneOf(container.imagePullPolicy, ['Always', 'IfNotPresent', 'Never'], `${path}.imagePullPolicy`))
  if (isInit) errors.push(...oneOf(container.restartPolicy, ['Always'], `${path}.restartPolicy`))
  else if (container.restartPolicy !== undefined) {
    errors.push({
      reason: 'FieldValueForbidden',
      field: `${path}.restartPolicy`,
      detail: 'Forbidden: may not be set for non-init containers',
    })
  }
  const paths = new Set<string>()
  for (const [index, mount] of listAt(container, 'volumeMounts').entries()) {
    const at = `${path}.volumeMounts[${index}]`
    const mountPath = stringAt(mount, 'mountPath')
    if (!volumes.has(stringAt(mount, 'name'))) errors.push(notFound(`${at}.name`, stringAt(mount, 'name')))
    if (mountPath === '') errors.push(required(`${at}.mountPath`))
    if (paths.has(mountPath)) errors.push(invalid(`${at}.mountPath`, mountPath, 'must be unique'))
    paths.add(mountPath)
    if (stringAt(mount, 'subPath').split('/').includes('..')) {
      errors.push(invalid(`${at}.subPath`, stringAt(mount, 'subPath'), "must not contain '..'"))
    }
  }
  for (const [index, variable] of listAt(container, 'env').entries()) {
    const at = `${path}.env[${index}]`
    const key = stringAt(variable, 'name')
    if (key === '') errors.push(required(`${at}.name`))
    else if (/[=\0]/.test(key)) errors.push(invalid(`${at}.name`, key, 'must not contain "=" or NUL'))
    if (objectAt(variable).value && objectAt(variable).valueFrom) {
      errors.push(invalid(`${at}.valueFrom`, '', 'may not be specified when `value` is not empty'))
    }
  }
  for (const [index, port] of listAt(container, 'ports').entries()) {
    const at = `${path}.ports[${index}]`
    const number = objectAt(port).containerPort
    if (number === undefined) errors.push(required(`${at}.containerPort`))
    else if (!isPort(number)) {
      errors.push(invalid(`${at}.containerPort`, number, 'must be between 1 and 65535, inclusive'))
    }
  }
  return errors
}

function isPort(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 65_536
}

function oneOf(value: unknown, supported: string[], path: string): FieldError[] {
  return value === undefined || supported.includes(String(value)) ? [] : [unsupported(path, value, supported)]
}

function validateLabel(name: string, path: string): FieldError[] {
  if (name === '') return [required(path)]
  return isLabel(name) ? [] : [invalid(path, name, labelSentence)]
}

const labelSentence =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
