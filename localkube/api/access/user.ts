/** Who asks. */
export interface User {
  name: string
  uid?: string
  groups: string[]
  extra?: Record<string, string[]>
}

export const masters = 'system:masters'

/** The server itself, for what it does on its own. */
export const systemUser: User = { name: 'system:apiserver', groups: [masters, 'system:authenticated'] }
