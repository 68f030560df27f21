import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { readCommand } from '../../bin/cli/line/command.ts'
import { anchorOf } from '../../infra/alarms/alarm.ts'
import { EVERYTHING, LEAST, resourcesOf, templateWith } from './synthesized.ts'

const read = (name: string) => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8')
const runbook = read('runbook.md')
const sections = new Map(
  runbook
    .split(/^## /m)
    .slice(1)
    .map((section) => [section.slice(0, section.indexOf('\n')), section] as const),
)
const anchors = new Set([...sections.keys()].map(anchorOf))
const template = templateWith(LEAST)
const metricAlarms = resourcesOf(template, 'AWS::CloudWatch::Alarm')
const composites = resourcesOf(template, 'AWS::CloudWatch::CompositeAlarm')

describe('the runbook', () => {
  const alarms = [...metricAlarms, ...composites].flatMap(([id, { Properties }]) => {
    const [, sentence = '', anchor] =
      /^(.+\.) https:\/\/.+\/docs\/runbook\.md#(.+)$/.exec(String(Properties['AlarmDescription'])) ?? []
    return anchor === undefined ? [] : [{ id, sentence, anchor }]
  })
  const headings = [...sections.keys()].filter((heading) => heading.startsWith('Alarm: '))

  test('has a heading for every alarm that publishes, and an alarm for every such heading', () => {
    const publishing = [...metricAlarms, ...composites].filter(
      ([, { Properties }]) => Properties['AlarmActions'],
    )
    expect(alarms.length).toBeGreaterThanOrEqual(publishing.length)
    expect(new Set(headings.map(anchorOf))).toEqual(new Set(alarms.map(({ anchor }) => anchor)))
  })

  test('says of every alarm what it means, how to look and what to do', () => {
    for (const heading of headings) {
      for (const part of ['**What it means.**', '**How to look.**', '**What to do.**'])
        expect(`${heading}: ${sections.get(heading)}`).toContain(part)
    }
  })

  test('has a saved query of Logs Insights for every alarm', () => {
    const names = resourcesOf(template, 'AWS::Logs::QueryDefinition').map(([, { Properties }]) =>
      String(Properties['Name']),
    )
    expect(new Set(names)).toEqual(
      new Set(headings.map((heading) => `credit-expiry/CreditExpiry-prod/${heading.replace('Alarm: ', '')}`)),
    )
  })

  test('links to headings that are there', () => {
    const links = [...runbook.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor = '']) => anchor)
    expect(links.filter((anchor) => !anchors.has(anchor))).toEqual([])
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
    const fromReadme = [...readme.matchAll(/runbook\.md#([^)]+)\)/g)].map(([, anchor = '']) => anchor)
    expect(fromReadme.length).toBeGreaterThan(3)
    expect(fromReadme.filter((anchor) => !anchors.has(anchor))).toEqual([])
  })

  test('answers what happened to one user as the README does, in one command and one payload', () => {
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
    const heading = 'What happened to one user?\n'
    const [, inReadme = ''] = readme.split(`## ${heading}`)
    const answer = inReadme.slice(0, inReadme.indexOf('\n## '))
    expect(sections.get(heading.trim())?.replace(heading, '')).toContain(answer)

    const [, command = ''] = /```sh\nnpm start -- (.+)\n```/.exec(answer) ?? []
    const [, payload = ''] = /```json\n(.+)\n```/.exec(answer) ?? []
    expect(readCommand(command.split(' '), {})).toMatchObject({ event: JSON.parse(payload) })
  })

  test('names every value that can be configured, and every output that it speaks of exists', () => {
    const configuration = sections.get('Configuration') ?? ''
    const shortened: Record<string, string> = {
      executeLimitGrants: '…Grants',
      executeLimitUsd: '…Usd',
      executeLimitCorrectionsUsd: '…CorrectionsUsd',
    }
    for (const name of Object.keys(EVERYTHING))
      expect(configuration).toContain(`\`${shortened[name] ?? name}\``)
    for (const [, output = ''] of runbook.matchAll(/outputs? `(\w+)`/g)) template.hasOutput(output, {})
    for (const output of ['PreviewPolicyArn', 'OperatePolicyArn']) template.hasOutput(output, {})
  })

  test('counts the alarms and their metrics as they are', () => {
    const metrics = metricAlarms.reduce((sum, [, { Properties }]) => {
      const { Metrics } = Properties as { Metrics?: { MetricStat?: object }[] }
      return sum + (Metrics ? Metrics.filter(({ MetricStat }) => MetricStat).length : 1)
    }, 0)
    expect(sections.get('Costs per month')).toContain(
      `alarms: ${metricAlarms.length} over ${metrics} metrics at 0.10, and ${composites.length} ` +
        'composite ones',
    )
  })

  test('the emergency stop has three ways; erasing names every place with personal data', () => {
    const stop = sections.get('Emergency stop') ?? ''
    for (const way of ['{"hold"', '--reserved-concurrent-executions 0', 'stop-execution', '{"cancel"'])
      expect(stop).toContain(way)
    const erasing = sections.get('Erasing personal data') ?? ''
    for (const folder of [
      'logs/users/',
      'logs/mutations/',
      'logs/errors/',
      'logs/runs/',
      'runs/<run id>/pages/',
      'runs/<run id>/report.html',
      'runs/<run id>/run.json',
      'summary.json',
      'runs/<run id>/cursor.json',
      'cancel.json',
      'control/hold.json',
      'intents/',
      'query-results/',
      'CloudWatch',
      'notices',
      'Step Functions',
      'dead letter queues',
    ])
      expect(erasing).toContain(folder)
  })
})

describe('the example pipeline', () => {
  const pipeline = read('pipeline.yml')
  const jobs = [...pipeline.matchAll(/^ {2}(\w+):\n(?: {4}if: .+\n)?(?: {4}needs: (\w+)\n)?/gm)]

  test('tests, synthesizes, shows the difference, deploys to staging, checks, and waits for approval', () => {
    expect(jobs.slice(-4).map(([, name, needs]) => [name, needs])).toEqual([
      ['test', undefined],
      ['diff', 'test'],
      ['staging', 'diff'],
      ['production', 'staging'],
    ])
    for (const step of ['npm test', 'npm run synth', 'cdk diff', 'npm run check -- CreditExpiry-staging'])
      expect(pipeline).toContain(`- run: ${step.startsWith('cdk') ? `npx ${step}` : step}`)
    expect(pipeline).toContain('environment: production')
  })

  test('names what the role needs for the check, beside the roles of cdk bootstrap', () => {
    const header = pipeline.slice(0, pipeline.indexOf('\nname: '))
    for (const name of ['cloudformation:DescribeStacks', 'PreviewPolicyArn', 'cdk bootstrap'])
      expect(header).toContain(name)
  })

  test('reads variables of an environment only in steps of a job that names the environment', () => {
    const [before = '', ...ofJobs] = pipeline.replaceAll(/^#.*$/gm, '').split(/^jobs:\n|^ {2}(?=\w+:\n)/m)
    expect(before).not.toContain('vars.')
    const reading = ofJobs.filter((job) => job.includes('vars.'))
    expect(reading).toHaveLength(3)
    for (const job of reading) {
      const [ofTheJob = '', steps = ''] = job.split(/^ {4}steps:\n/m)
      expect(ofTheJob).toMatch(/^ {4}environment: (staging|production)$/m)
      expect(ofTheJob).not.toContain('vars.')
      for (const name of [
        'DATABASE_SECRET_ARN',
        'READONLY_DATABASE_SECRET_ARN',
        'AWS_ROLE_ARN',
        'AWS_REGION',
      ])
        expect(steps).toContain(`vars.${name} }}`)
    }
  })

  test('has credentials by OIDC alone, and only where it deploys', () => {
    expect(pipeline.match(/id-token: write/g)).toHaveLength(3)
    expect(pipeline).not.toMatch(/aws-(access|secret)|secrets\./i)
  })
})

test('the architecture is told in two pictures', () => {
  expect(read('architecture.md').match(/^```mermaid$/gm)).toHaveLength(2)
})
