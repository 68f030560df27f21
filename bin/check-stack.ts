import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation'
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda'
import { styleText } from 'node:util'
import * as z from 'zod'
import { LIVE } from '../lambda/constants.ts'
import { type Answered, printAnswered } from './answered.ts'

/** One line of the screen: what was looked at, whether it is in place, what was found, and how to fix it. */
type Line = {
  readonly name: string
  readonly passed: boolean
  readonly found: string
  readonly fix: string | null
}

const USAGE = `npm run check -- <stack name>

Checks a deployment: reads the stack's outputs, sends {"check": true} and {} to its preview function.
Nothing is written to the ledger. Example: npm run check -- CreditExpiry-prod`

/** What {"check": true} answers: CheckAnswer. The deployed code may be older than this. */
const answerSchema = z.object({
  answer: z.literal('check'),
  checks: z.array(
    z.object({ check: z.string(), ok: z.boolean(), detail: z.string(), fix: z.string().nullable() }),
  ),
})

const cardSchema = z.object({
  runId: z.string(),
  status: z.string(),
  why: z.string(),
  totals: z.object({ usersMatched: z.number(), expired: z.string() }),
})

const errorSchema = z.object({ errorType: z.string(), errorMessage: z.string() })

/** What to do about an error of the function. Its message says more. */
const FIXES: Readonly<Record<string, string>> = {
  InvalidConfiguration:
    'Correct the setting or the secret that the message names. In a VPC, Secrets Manager needs an ' +
    'interface endpoint or NAT.',
  LedgerUnavailable:
    "Allow the function's security group in the database's; check host, user and password in the secret; " +
    'run docs/roles.sql.',
  ArchiveUnavailable: "Check the bucket's policy and KMS key. In a VPC, S3 needs a gateway endpoint or NAT.",
  InvalidEvent: 'The deployed code is older than this checkout: deploy again.',
  'Sandbox.Timedout': 'In a VPC, check the routes to the database, S3 and Secrets Manager.',
}

/**
 * Checks a deployment, from outside and then from inside.
 * @returns a line for each thing looked at, failed ones with a fix; the rest is not looked at where it
 * depends on them
 */
async function checkStack(stackName: string): Promise<Line[]> {
  const read = await readStack(stackName)
  if (!('outputs' in read)) return [read]
  const { outputs, line: stack } = read
  const functionName = outputs.get('PreviewFunctionName')
  if (functionName === undefined) {
    return [
      failed('stack', `${stackName} has no output PreviewFunctionName`, 'Deploy this version of the stack.'),
    ]
  }
  const checked = await invoke(functionName, { check: true })
  if ('line' in checked) return [stack, { ...checked.line, name: 'check' }]
  const dryRun = await invoke(functionName, {})
  return [stack, ...checkLines(checked.answer), 'line' in dryRun ? dryRun.line : dryRunLine(dryRun.answer)]
}

type Deployed = { readonly outputs: ReadonlyMap<string, string>; readonly line: Line }

/** The outputs of a stack that is in service, or what keeps it from that. */
async function readStack(stackName: string): Promise<Deployed | Line> {
  const client = new CloudFormationClient({})
  try {
    const { Stacks = [] } = await client.send(new DescribeStacksCommand({ StackName: stackName }))
    const [{ Outputs = [], StackStatus = 'unknown' } = {}] = Stacks
    const outputs = new Map(Outputs.map(({ OutputKey = '', OutputValue = '' }) => [OutputKey, OutputValue]))
    const fix = 'Open the events of the stack in CloudFormation, fix the first failure, deploy again.'
    if (StackStatus === 'UPDATE_ROLLBACK_COMPLETE') {
      const found = `${stackName}: the last update was rolled back; what was deployed before it is checked here`
      return { outputs, line: failed('stack', found, fix) }
    }
    if (!/^(CREATE|UPDATE|IMPORT)_COMPLETE$/.test(StackStatus))
      return failed('stack', `${stackName} is ${StackStatus}`, fix)
    return { outputs, line: passed('stack', `${stackName} is deployed`) }
  } catch (error) {
    const message = messageOf(error)
    const fix = message.includes('does not exist')
      ? 'Check the name, the account and AWS_REGION. aws cloudformation list-stacks shows all names.'
      : 'Check the AWS credentials and AWS_REGION; they need cloudformation:DescribeStacks.'
    return failed('stack', message, fix)
  } finally {
    client.destroy()
  }
}

async function invoke(functionName: string, payload: object): Promise<{ answer: unknown } | { line: Line }> {
  const name = 'check' in payload ? 'check' : 'dry run'
  // A dry run can take the 15 minutes of an invocation. A silent resend would start another one.
  const client = new LambdaClient({ maxAttempts: 1, requestHandler: { requestTimeout: 905_000 } })
  try {
    const { Payload, FunctionError } = await client.send(
      new InvokeCommand({ FunctionName: functionName, Qualifier: LIVE, Payload: JSON.stringify(payload) }),
    )
    const answer: unknown = JSON.parse(Payload?.transformToString() ?? 'null')
    if (FunctionError === undefined) return { answer }
    const { errorType, errorMessage } = errorSchema.parse(answer)
    const fix = FIXES[errorType] ?? 'docs/runbook.md, "Alarm: function errors", says what this error means.'
    return { line: failed(name, `${errorType}: ${errorMessage}`, fix) }
  } catch (error) {
    const fix = 'Attach the policy in the output PreviewPolicyArn to the user or role that runs this command.'
    return { line: failed(name, messageOf(error), fix) }
  } finally {
    client.destroy()
  }
}

function checkLines(answer: unknown): Line[] {
  const parsed = answerSchema.safeParse(answer)
  if (parsed.success) {
    return parsed.data.checks.map(({ check, ok, detail, fix }) => ({
      name: check,
      passed: ok,
      found: detail,
      fix,
    }))
  }
  return [failed('check', 'the answer comes from another version', 'Deploy this version of the stack.')]
}

function dryRunLine(answer: unknown): Line {
  const parsed = cardSchema.safeParse(answer)
  if (!parsed.success)
    return failed('dry run', 'the answer is not an exit card', 'Deploy this version of the stack.')
  const { runId, status, why, totals } = parsed.data
  const found = `${runId} is ${status}: ${totals.usersMatched} users matched, ${totals.expired} would expire`
  if (status === 'complete' || status === 'incomplete') return passed('dry run', found)
  return failed('dry run', `${found}. ${why}`, 'Read the errors log of this run, fix the cause, check again.')
}

function passed(name: string, found: string): Line {
  return { name, passed: true, found, fix: null }
}

function failed(name: string, found: string, fix: string): Line {
  return { name, passed: false, found, fix }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}

/** The screen: a line for each thing, its fix below, and what it comes to. */
function screen(lines: readonly Line[]): string {
  const width = Math.max(...lines.map(({ name }) => name.length))
  const rows = lines.flatMap(({ name, passed: isPassed, found, fix }) => {
    const state = isPassed ? styleText('green', 'ok    ') : styleText('red', 'FAILED')
    const row = `${state}  ${name.padEnd(width)}  ${found}`
    return fix === null ? [row] : [row, `${' '.repeat(width + 10)}Fix: ${fix}`]
  })
  const wrong = lines.filter((line) => !line.passed).length
  const end =
    wrong === 0
      ? 'The preview function has everything it needs. Send {"check": true} to the job function to check that one.'
      : `${wrong} of ${lines.length} not in place. Nothing was written.`
  return [...rows, '', end].join('\n')
}

/** Answers a command line of `npm run check`. */
export async function answerCheck(args: readonly string[]): Promise<Answered> {
  const [stackName, ...others] = args
  if (stackName === undefined || stackName.startsWith('-') || others.length > 0)
    return { out: '', error: USAGE, exitCode: 1 }
  const lines = await checkStack(stackName)
  return { out: `${screen(lines)}\n`, error: '', exitCode: lines.every((line) => line.passed) ? 0 : 1 }
}

if (import.meta.main) {
  printAnswered(await answerCheck(process.argv.slice(2)))
}
