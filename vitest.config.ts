import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { SlowFirst } from './test/support/slow-first.ts'

// Compiled code is kept for the workers and for the commands that tests start: half of a start is compiling.
process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL('node_modules/.cache/node-compile', import.meta.url))

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/servers/servers.ts'],
    sequence: { sequencer: SlowFirst },
    setupFiles: ['test/support/each-file.ts'],
    // No module of the project keeps state, so files share a worker: loading the CDK for each takes minutes.
    isolate: false,
    // Most tests wait for servers and child processes; one worker a core would leave the cores idle.
    maxWorkers: 5,
    // A busy machine makes a synthesis take minutes; no test depends on how long something takes.
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
})
