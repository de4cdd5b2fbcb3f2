import type { Column } from './kind.ts'

/** The columns that nearly every kind shows. */
export const name: Column = { name: 'Name', type: 'string', format: 'name', value: (object) => object.metadata.name }

export const age: Column = {
  name: 'Age',
  type: 'string',
  value: (object) => sinceText(object.metadata.creationTimestamp),
}

export const createdAt: Column = {
  name: 'Created At',
  type: 'date',
  value: (object) => object.metadata.creationTimestamp,
}

/** How long ago in kubectl's short form: 7s, 2m5s, 3h20m, 2d4h, 90d. */
export function sinceText(time: unknown, now = Date.now()): string {
  const start = typeof time === 'string' ? Date.parse(time) : Number.NaN
  return Number.isNaN(start) ? '<unknown>' : durationText((now - start) / 1000)
}

export function durationText(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds))
  if (s < 120) return `${s}s`
  const m = Math.floor(s / 60)
  if (m < 10) return s % 60 === 0 ? `${m}m` : `${m}m${s % 60}s`
  if (m < 180) return `${m}m`
  const h = Math.floor(m / 60)
  if (h < 8) return m % 60 === 0 ? `${h}h` : `${h}h${m % 60}m`
  if (h < 48) return `${h}h`
  const d = Math.floor(h / 24)
  if (d < 8) return h % 24 === 0 ? `${d}d` : `${d}d${h % 24}h`
  if (d < 730) return `${d}d`
  return `${Math.floor(d / 365)}y`
}
