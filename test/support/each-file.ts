import { afterAll } from 'vitest'
import { releaseClock } from './clock.ts'

/** Runs in every test file: what one file leaves behind must not reach the next one in the same worker. */
afterAll(releaseClock)
