/** What the standalone process tells `k8sclaw up`, once. */
export type UpMessage =
  | {
      type: 'ready'
      pid: number
      url: string
      token: string
      kubeconfig: string
      isolation: string
      isolationReason: string
      recovered: boolean
    }
  | { type: 'failed'; message: string }
