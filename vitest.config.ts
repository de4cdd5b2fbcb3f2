import { defineConfig } from 'vitest/config'

/**
 * Unit and component tests lie beside the code; `test/` holds the ones that run the whole platform, and
 * `test/kubernetes` those that need a real kube-apiserver (`make test-kubernetes`, and no other).
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['{core,programs,localkube,build}/**/*.test.ts'],
          testTimeout: 30_000,
          hookTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'platform',
          include: ['test/**/*.test.ts'],
          exclude: ['test/kubernetes/**'],
          testTimeout: 180_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'kubernetes',
          include: ['test/kubernetes/**/*.test.ts'],
          testTimeout: 120_000,
          // A whole control plane, and the platform on it, beside those of another file.
          hookTimeout: 300_000,
        },
      },
    ],
    maxWorkers: 2,
  },
})
