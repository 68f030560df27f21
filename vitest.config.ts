import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/servers.ts'],
    // A busy machine makes a synthesis take minutes; no test depends on how long something takes.
    // Most tests wait for servers and child processes; one worker a core leaves the cores idle.
    maxWorkers: 4,
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
})
