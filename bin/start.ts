#!/usr/bin/env node
import { existsSync } from 'node:fs'
import { enableCompileCache } from 'node:module'

/**
 * Something that never answers, such as a connection that stalls, must not keep the process after its work.
 */
const LAST_MOMENT_MS = 2_000

// Loading takes more time than the work on a small ledger: the second start finds everything compiled.
enableCompileCache()
const [{ main }, { processTerminal }] = await Promise.all([
  import('./cli/main.ts'),
  import('./cli/terminal.ts'),
])
if (existsSync('.env')) process.loadEnvFile('.env')
process.exitCode = await main(process.argv.slice(2), processTerminal())
setTimeout(() => process.exit(), LAST_MOMENT_MS).unref()
