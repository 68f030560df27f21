import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { type Command, readCommand } from '../../../bin/cli/line/command.ts'
import { optionsMarkdown } from '../../../bin/cli/line/options.ts'

const RUN = '2026-11-22T06-12-30-123Z-execute-k3j9'
const DRY_RUN = '2026-11-22T06-12-30-123Z-dry-run-k3j9'

function read(line: string | string[], env: NodeJS.ProcessEnv = {}): Command {
  const args = Array.isArray(line) ? line : line.split(' ').filter((word) => word !== '')
  const command = readCommand(args, env)
  if ('print' in command) throw new Error('asked for a text')
  return command
}

function printed(...args: string[]): string {
  const command = readCommand(args, {}, 80)
  return 'print' in command ? command.print : 'nothing printed'
}

function refusal(line: string | string[], env: NodeJS.ProcessEnv = {}): string {
  try {
    read(line, env)
  } catch (error) {
    if (error instanceof Error) return error.message
  }
  return 'not refused'
}

describe('what is sent', () => {
  test.each<[string, Record<string, unknown>]>([
    ['', {}],
    ['--dry-run', { execute: false }],
    [`--rollback ${RUN} --dry-run`, { rollback: RUN, execute: false }],
    ['--execute', { execute: true }],
    ['--domains kilo.ai,kilocode.ai', { domains: ['kilo.ai', 'kilocode.ai'] }],
    [
      '--execute --user-ids a,b --batch-size 7 --concurrency 2',
      { execute: true, userIds: ['a', 'b'], batchSize: 7, concurrency: 2 },
    ],
    [
      '--execute --limit-usd 500.5 --limit-users 3 --limit-grants 9 --limit-corrections-usd 0',
      { execute: true, limits: { usd: 500.5, users: 3, grants: 9, correctionsUsd: 0 } },
    ],
    [`--execute --plan ${DRY_RUN}`, { execute: true, plan: DRY_RUN }],
    ['--execute --plan latest', { execute: true, plan: 'latest' }],
    [`--rollback ${RUN}`, { rollback: RUN }],
    [`--rollback=${RUN} --execute --reason mistake`, { rollback: RUN, execute: true, reason: 'mistake' }],
    [`--resume ${RUN} --wait`, { resume: RUN }],
    [`--cancel ${RUN} -y`, { cancel: RUN }],
    [`--status ${RUN}`, { status: RUN }],
    ['--status', { status: 'latest' }],
    ['--status --json', { status: 'latest' }],
    [
      '--execute --except-user-ids a,b --categories promo,kilo-pass-* --gentle --by Ada',
      {
        execute: true,
        exceptUserIds: ['a', 'b'],
        categories: ['promo', 'kilo-pass-*'],
        gentle: true,
        by: 'Ada',
      },
    ],
    ['--hold migration --by Ada', { hold: 'migration', by: 'Ada' }],
    ['--release done', { release: 'done' }],
    [`--abandon ${RUN} --reason lost`, { abandon: RUN, reason: 'lost' }],
    [
      `--rollback ${RUN} --execute --under-hold --reason mistake`,
      { rollback: RUN, execute: true, underHold: true, reason: 'mistake' },
    ],
    [`--resume ${RUN} --intents-restored`, { resume: RUN, intentsRestored: true }],
    ['--check', { check: true }],
    [
      '--history ada@kilo.ai --from 2026-10 --to 2027-04',
      { history: 'ada@kilo.ai', from: '2026-10', to: '2027-04' },
    ],
    ['--verify latest', { verify: 'latest' }],
    [`--diff ${DRY_RUN} ${RUN}`, { diff: [DRY_RUN, RUN] }],
    ['--report latest', { report: 'latest' }],
    [`--execute --restart ${RUN}`, { execute: true, restart: RUN }],
    ['--execute --restart --yes', { execute: true, restart: 'latest' }],
    ['--event {"execute":true,"limits":{"usd":5}} --yes', { execute: true, limits: { usd: 5 } }],
  ])('%s', (line, event) => {
    expect(read(line).event).toEqual(event)
  })

  test.each<[string, Command['own']]>([
    ['--runs', { is: 'runs', page: null, open: false }],
    ['--runs --html', { is: 'runs', page: 'credit-expiry-runs.html', open: false }],
    ['--runs --html all.html --open', { is: 'runs', page: 'all.html', open: true }],
    ['--history ada@kilo.ai --csv', null],
    ['--open', { is: 'open', runId: 'latest' }],
    [`--open ${RUN}`, { is: 'open', runId: RUN }],
    [`--csv grants ${RUN}`, { is: 'csv', kind: 'grants', runId: RUN }],
    ['--status', null],
  ])('%s: what the command does itself', (line, own) => {
    expect(read(line).own).toEqual(own)
  })

  test('a value that begins with a dash', () => {
    expect(read(['--reason=-5 % of all']).event).toEqual({ reason: '-5 % of all' })
  })

  test('-y is --yes', () => {
    expect(read('--execute -y').given).toEqual({ execute: true, yes: true })
  })
})

describe('what is refused, with the option, and what to do', () => {
  test.each<[string, string]>([
    ['--excute', 'Unknown option --excute. Did you mean --execute? Nothing was done.'],
    ['--user-id a', 'Unknown option --user-id. Did you mean --user-ids?'],
    ['--frobnicate', 'Unknown option --frobnicate. Nothing was done.'],
    ['-x', 'Unknown option -x.'],
    ['--execute=true', 'Unknown option --execute=true. Did you mean --execute?'],
    ['--execute true', 'Unexpected argument'],
    ['--execute --dry-run', 'contradicts another option. Nothing was done.'],
    [`--resume ${RUN} --dry-run`, '--dry-run cannot be combined with --resume'],
    [`--cancel ${RUN} --dry-run`, '--dry-run cannot be combined with --cancel'],
    [`--abandon ${RUN} --reason lost --dry-run`, '--dry-run cannot be combined with --abandon'],
    ['--hold migration --dry-run', '--dry-run cannot be combined with --hold'],
    ['--dry-run --release done', '--dry-run cannot be combined with --release'],
    ['--resume', 'The value is missing: --resume <run id>.'],
    ['--domains --json', "argument '--json' is invalid. It is an option: the value is missing."],
    ['--domains a.com,,b.com', 'It has an empty entry.'],
    [
      '--batch-size many',
      "argument 'many' is invalid. It must be a number of 0 or more, digits only, like 300.",
    ],
    [
      '--limit-users -1',
      "argument '-1' is invalid. It must be a number of 0 or more, digits only, like 300.",
    ],
    [
      '--limit-usd 1e3',
      "argument '1e3' is invalid. It must be a number of 0 or more, digits only, like 1000.50.",
    ],
    [
      '--limit-users 99999999999999999999',
      '--limit-users: must be a whole number from 0 to 9007199254740991. Nothing',
    ],
    ['--limit-users 1.5', '--limit-users: must be a whole number from 0 to 9007199254740991. Nothing'],
    [
      '--execute --plan foo',
      '--plan: must be the id of a dry run, like "2026-11-22T06-12-30-123Z-dry-run-k3j9"',
    ],
    [
      'foo',
      'Unexpected argument foo. Lists have commas and no spaces; texts with spaces need quotes. Nothing',
    ],
    ['excute', 'Unexpected argument excute. Did you mean --execute?'],
    ['--y', 'Unknown option --y. Nothing was done.'],
    ['--batch-size 0', 'The options are not valid: --batch-size: must be a whole number from 1 to 2000'],
    ['--concurrency 17', '--concurrency: must be a whole number from 1 to 16'],
    ['--resume some/run', '--resume: must be "latest" or a run id like "2026-'],
    [`--plan ${DRY_RUN}`, '--plan: needs --execute beside it.'],
    [`--execute --plan ${DRY_RUN} --domains kilo.ai`, '--domains: cannot be combined with --plan'],
    [`--resume ${RUN} --execute`, 'A valid command without it: npm start -- --resume <run id>. Nothing'],
    [`--status ${RUN} --reason x`, '--reason: cannot be combined with --status'],
    [
      '--event {} --execute',
      '--execute does not fit beside --event. Nothing was done. Put "execute" into the JSON.',
    ],
    ['--event {execute:true}', '--event is not JSON ('],
    ['--event []', '--event must be a JSON object.'],
    ['--event {"excute":true}', 'unknown field "excute", did you mean "execute"?'],
    [
      `--event {"resume":"${RUN}","execute":true}`,
      'field "execute": cannot be combined with "resume". A valid payload without it: {"resume": "<run id>"}',
    ],
    ['--runs --execute', '--runs cannot be combined with --execute.'],
    ['--csv users', '--csv takes one of users, grants, mutations, and a run id.'],
    [`--csv people ${RUN}`, '--csv takes one of users, grants, mutations, and a run id.'],
    ['--open --event {}', '--open cannot be combined with --event.'],
    [`--diff ${RUN}`, '--diff: must be a list of two run ids'],
    [`--abandon ${RUN}`, '--abandon: needs --reason beside it'],
    ['--from 2026-10', '--from: needs --history beside it'],
    ['--gentle --concurrency 2', '--concurrency: must be 1 or absent beside --gentle'],
    ['--invocation-seconds 5', '--invocation-seconds must be from 10 to 900.'],
  ])('%s', (line, message) => {
    expect(refusal(line)).toContain(message)
    expect(refusal(line)).toContain('Nothing was done.')
  })

  test.each<[string, string]>([
    ['--restart', '--restart: needs --execute beside it. Nothing was done.'],
    [`--plan ${DRY_RUN}`, '--plan: needs --execute beside it. Nothing was done.'],
    ['--under-hold', '--under-hold: needs --rollback, --execute and --reason beside it. Nothing was done.'],
    [
      '--execute --intents-restored',
      '--intents-restored: cannot be combined with --execute. Nothing was done.',
    ],
    [
      '--intents-restored',
      '--intents-restored: needs --resume beside it. A valid command: npm start -- --resume <run id> --intents-restored.',
    ],
    ['--dry-runs', "A valid command: npm start -- --history '<user id or e-mail>' --dry-runs."],
    [
      '--history x --reason y',
      "--reason: cannot be combined with --history. A valid command without it: npm start -- --history '<user",
    ],
    [
      `--rollback ${RUN} --execute --domains kilo.ai`,
      'A valid command without it: npm start -- --rollback <run id>. Nothing',
    ],
    ['--gentle --concurrency 2', '--concurrency: must be 1 or absent beside --gentle. Nothing was done.'],
  ])('%s: no command that writes is suggested, and one with the option where it fits', (line, message) => {
    expect(refusal(line)).toContain(message)
  })

  test('an empty or blank value', () => {
    expect(refusal(['--reason', ' '])).toContain('It is empty.')
    expect(refusal(['--reason='])).toContain('It is empty.')
  })

  test('options that npm took for itself, since -- was forgotten', () => {
    const env = {
      npm_lifecycle_event: 'start',
      npm_config_execute: 'true',
      npm_config_user_ids: 'a',
      npm_config_yes: 'true',
    }
    expect(refusal('', env)).toBe(
      'npm took --execute --user-ids as its own option. Nothing was done. Put -- before the options: ' +
        'npm start -- --execute --user-ids',
    )
    expect(read('', { ...env, npm_lifecycle_event: 'test' }).event).toEqual({})
  })
})

describe('the one table of options', () => {
  test('makes the help, in 80 columns', () => {
    const help = printed('--execute', '-h')
    for (const text of [
      '--plan <dry run id>',
      '--status [run id]',
      '-y, --yes',
      'What to do:',
      'Exit status:',
    ])
      expect(help).toContain(text)
    expect(help).not.toContain('--invocation-seconds')
    expect(help.split('\n').filter((line) => line.length > 80)).toEqual([])
  })

  test('makes docs/command.md', async () => {
    await expect(optionsMarkdown()).toMatchFileSnapshot(
      fileURLToPath(new URL('../../../docs/command.md', import.meta.url)),
    )
  })

  test('--version', () => {
    expect(printed('--version')).toMatch(/^\d+\.\d+\.\d+\n$/)
  })
})
