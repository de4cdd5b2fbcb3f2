import type { Platform } from './standalone/platform.ts'

/** What the standalone process tells `k8sclaw up`, once. */
export type UpMessage = ({ type: 'ready'; pid: number } & Omit<Platform, 'close'>) | { type: 'failed'; message: string }
