import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/servers.ts'],
    // Most tests wait for servers and child processes; one worker a core leaves the cores idle.
    maxWorkers: 4,
    // No test depends on time; a busy machine takes many times as long.
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
})
