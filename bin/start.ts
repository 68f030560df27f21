#!/usr/bin/env node
import { existsSync } from 'node:fs'
import { main } from './cli/main.ts'
import { processTerminal } from './cli/terminal.ts'

/** Something that never answers, such as a connection that stalls, must not keep the process after its work. */
const LAST_MOMENT_MS = 2_000

if (existsSync('.env')) process.loadEnvFile('.env')
process.exitCode = await main(process.argv.slice(2), processTerminal())
setTimeout(() => process.exit(), LAST_MOMENT_MS).unref()
