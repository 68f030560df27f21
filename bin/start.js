#!/usr/bin/env node
import { existsSync } from 'node:fs'
import module from 'node:module'

if (!process.features.typescript) {
  process.stderr.write(
    `This needs Node 24, and this is ${process.version}. npm start runs on the right one.\n`,
  )
  process.exit(1)
}

/**
 * Something that never answers, such as a connection that stalls, must not keep the process after its work.
 */
const LAST_MOMENT_MS = 2_000

// An import of node:http reads all its exports; these three load an HTTP client that nothing here uses, which
// takes as long as loading the AWS SDK.
for (const name of ['WebSocket', 'CloseEvent', 'MessageEvent'])
  Object.defineProperty(process.getBuiltinModule('node:http'), name, { value: undefined })

// Loading takes more time than the work on a small ledger: the second start finds everything compiled, and
// its types stripped. This file is JavaScript so that the second start needs no stripping at all.
module.enableCompileCache()
const [{ main }, { processTerminal }] = await Promise.all([
  import('./cli/main.ts'),
  import('./cli/terminal.ts'),
])
if (existsSync('.env')) process.loadEnvFile('.env')
process.exitCode = await main(process.argv.slice(2), processTerminal())
setTimeout(() => process.exit(), LAST_MOMENT_MS).unref()
