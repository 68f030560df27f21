import { describe, expect, test } from 'vitest'
import { type Command, readCommand } from '../../bin/cli/command.ts'

const RUN = '2026-11-22T06-12-30-123Z-execute-k3j9'
const DRY_RUN = '2026-11-22T06-12-30-123Z-dry-run-k3j9'

function read(line: string, env: NodeJS.ProcessEnv = {}): Command {
  const command = readCommand(line === '' ? [] : line.split(' '), env)
  if (command === 'help' || 'runs' in command) throw new Error('asked for help, or for the runs')
  return command
}

function refusal(args: string | string[], env: NodeJS.ProcessEnv = {}): string {
  try {
    readCommand(typeof args === 'string' ? args.split(' ') : args, env)
  } catch (error) {
    if (error instanceof Error) return error.message
  }
  return 'not refused'
}

describe('what is sent', () => {
  test.each<[string, Record<string, unknown>]>([
    ['', {}],
    ['--execute', { execute: true }],
    ['--domains kilo.ai,kilocode.ai', { domains: ['kilo.ai', 'kilocode.ai'] }],
    [
      '--execute --user-ids a,b --batch-size 7 --concurrency 2',
      { execute: true, userIds: ['a', 'b'], batchSize: 7, concurrency: 2 },
    ],
    [`--execute --plan ${DRY_RUN}`, { execute: true, plan: DRY_RUN }],
    [`--rollback ${RUN}`, { rollback: RUN }],
    [`--rollback=${RUN} --execute --reason mistake`, { rollback: RUN, execute: true, reason: 'mistake' }],
    [`--resume ${RUN} --wait`, { resume: RUN }],
    [`--cancel ${RUN}`, { cancel: RUN }],
    [`--status ${RUN}`, { status: RUN }],
    ['--status', { status: 'latest' }],
    ['--status --json', { status: 'latest' }],
    [`--execute --restart ${RUN}`, { execute: true, restart: RUN }],
    ['--event {"execute":true,"limits":{"usd":5}} --yes', { execute: true, limits: { usd: 5 } }],
  ])('%s', (line, event) => {
    expect(read(line).event).toEqual(event)
  })

  test('--restart without a run id means the run that is open, whichever it is', () => {
    expect(read('--execute --restart --yes')).toMatchObject({
      event: { execute: true },
      restartOpen: true,
      yes: true,
    })
    expect(read(`--execute --restart ${RUN}`).restartOpen).toBe(false)
  })

  test('an invocation is 60 s, or what the option or INVOCATION_SECONDS says', () => {
    expect(read('').invocationSeconds).toBe(60)
    expect(read('', { INVOCATION_SECONDS: '20' }).invocationSeconds).toBe(20)
    expect(read('--invocation-seconds 30', { INVOCATION_SECONDS: '20' }).invocationSeconds).toBe(30)
  })

  test('--help beside anything is help', () => {
    expect(readCommand(['--execute', '--help'], {})).toBe('help')
    expect(readCommand(['--runs', '--json'], {})).toEqual({ runs: true, json: true })
  })
})

describe('what is refused, and what is said', () => {
  test.each<[string, string]>([
    ['--excute', 'Unknown option --excute. Did you mean --execute?'],
    ['--frobnicate', 'Unknown option --frobnicate. Nothing was done.'],
    ['-x', 'Unknown option -x.'],
    ['--execute=true', '--execute takes no value, but got "true".'],
    ['--execute true', '"true" belongs to no option.'],
    ['--execute --execute', '--execute is given twice.'],
    ['--execute -- x', '"--" belongs to no option.'],
    ['--resume', '--resume needs a value behind it.'],
    ['--domains --json', '--domains needs a list with commas behind it.'],
    ['--domains a.com,,b.com', '--domains has an empty entry in "a.com,,b.com".'],
    ['--batch-size many', '--batch-size must be a whole number, not "many".'],
    ['--batch-size 0', '--batch-size: Too small'],
    ['--batch-size 2001', '--batch-size: Too big'],
    ['--concurrency 17', '--concurrency: Too big'],
    ['--resume some/run', '--resume: must be a run id like "2026-'],
    [
      '--plan x',
      '--plan needs --execute beside it. Nothing was done. To execute that dry run: npm start -- --execute --plan x',
    ],
    [`--execute --plan ${DRY_RUN} --domains kilo.ai`, '--domains does not go together with --plan.'],
    [`--resume ${RUN} --execute`, '--execute does not go together with --resume.'],
    [
      `--status ${RUN} --reason x --batch-size 5`,
      '--reason, --batch-size does not go together with --status.',
    ],
    [`--cancel ${RUN} --yes`, '--yes does not go together with --cancel.'],
    [`--rollback ${RUN} --user-ids a`, '--user-ids does not go together with --rollback.'],
    ['--event {} --execute', '--execute does not go together with --event.'],
    ['--restart', '--restart means nothing for a dry run.'],
    ['--yes', '--yes means nothing for a dry run.'],
    ['--wait', '--wait means nothing for a dry run.'],
    ['--event {} --yes', '--yes answers the question before something is written, and this writes nothing.'],
    [`--rollback ${RUN} --yes`, '--yes answers the question before something is written'],
    [`--resume ${DRY_RUN} --yes`, '--yes answers the question before something is written'],
    ['--event {} --wait', "--wait waits for another holder's lease, and this takes none."],
    ['--event {execute:true}', '--event is not JSON ('],
    ['--event []', '--event must be a JSON object.'],
    ['--event {"excute":true}', 'unknown field "excute", did you mean "execute"?'],
    ['--event {"execute":"true"}', 'must be the boolean true or false'],
    [
      `--event {"resume":"${RUN}","execute":true}`,
      'field "execute": does not go together with "resume". A valid payload: {"resume": "<run id>"}',
    ],
    ['--invocation-seconds 5', '--invocation-seconds must be from 10 to 900, not 5.'],
  ])('%s', (line, message) => {
    expect(refusal(line)).toContain(message)
  })

  test('an empty or blank value is none', () => {
    expect(refusal(['--reason', ' '])).toContain('--reason needs a value behind it.')
    expect(refusal(['--reason='])).toContain('--reason needs a value behind it.')
  })

  test('a value that begins with a dash is taken when it is written with =', () => {
    expect(readCommand(['--reason=-5 % of all'], {})).toMatchObject({ event: { reason: '-5 % of all' } })
  })

  test('a wrong INVOCATION_SECONDS is named', () => {
    expect(refusal('--json', { INVOCATION_SECONDS: 'long' })).toContain(
      'INVOCATION_SECONDS must be a whole number, not "long".',
    )
    expect(refusal('--json', { INVOCATION_SECONDS: '1000' })).toContain(
      'INVOCATION_SECONDS must be from 10 to 900, not 1000.',
    )
  })

  test('options that npm kept for itself, since -- was forgotten', () => {
    const env = {
      npm_lifecycle_event: 'start',
      npm_config_execute: 'true',
      npm_config_user_ids: 'a',
      npm_config_yes: 'true',
    }
    expect(refusal([], env)).toBe(
      'npm kept --execute --user-ids for itself. Nothing was done. Put -- before the options: npm start -- --execute --user-ids',
    )
    expect(readCommand([], { ...env, npm_lifecycle_event: 'test' })).toMatchObject({ event: {} })
  })
})
