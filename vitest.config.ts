import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

/**
 * Unit and component tests lie beside the code; `test/` holds the ones that run the whole platform, and
 * `test/kubernetes` and `test/cluster` those that need a real kube-apiserver and a real node (`make test-kubernetes`,
 * `make test-cluster`, and no other).
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['{core,programs,localkube,build}/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          // A second, which is usual, is nothing on a machine that has much else to do.
          expect: { poll: { timeout: 20_000 } },
        },
      },
      {
        test: {
          name: 'platform',
          include: ['test/**/*.test.ts'],
          exclude: ['test/kubernetes/**', 'test/cluster/**'],
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
      {
        test: {
          name: 'cluster',
          include: ['test/cluster/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 600_000,
        },
      },
    ],
    // Much of a test is waiting for what other processes do; each platform takes up to a gigabyte of memory.
    maxWorkers: Math.min(availableParallelism() + 1, 6),
  },
})
