/** Admission webhooks: who may change or refuse a write, found by their configurations and called over HTTPS. */
export { Webhooks } from './webhooks.ts'
