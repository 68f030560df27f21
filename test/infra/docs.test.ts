import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { anchorOf } from '../../infra/alarm.ts'
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

describe('the runbook', () => {
  const alarms = resourcesOf(template, 'AWS::CloudWatch::Alarm').map(
    ([id, { Properties }]) => [id, String(Properties['AlarmDescription'])] as const,
  )

  test.for(alarms)('has the heading that the alarm %s links to', ([, description]) => {
    const [, sentence = '', anchor = ''] = /^(.+\.) docs\/runbook\.md#(.+)$/.exec(description) ?? []
    expect(sentence).not.toBe('')
    expect([...anchors]).toContain(anchor)
  })

  test('says of every alarm what it means, how to look and what to do, and of no alarm that is not there', () => {
    const headings = [...sections.keys()].filter((heading) => heading.startsWith('Alarm: '))
    expect(new Set(headings.map(anchorOf))).toEqual(
      new Set(alarms.map(([, description]) => description.split('#')[1])),
    )
    for (const heading of headings) {
      for (const part of ['**What it means.**', '**How to look.**', '**What to do.**'])
        expect(`${heading}: ${sections.get(heading)}`).toContain(part)
    }
  })

  test('links to headings that are there', () => {
    const links = [...runbook.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor = '']) => anchor)
    expect(links.filter((anchor) => !anchors.has(anchor))).toEqual([])
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
  })

  test('counts the alarms and their metrics as they are', () => {
    const metrics = resourcesOf(template, 'AWS::CloudWatch::Alarm').reduce((sum, [, { Properties }]) => {
      const { Metrics } = Properties as { Metrics?: { MetricStat?: object }[] }
      return sum + (Metrics ? Metrics.filter(({ MetricStat }) => MetricStat).length : 1)
    }, 0)
    expect(sections.get('Costs per month')).toContain(`alarms: ${alarms.length}, over ${metrics} metrics`)
  })
})

test('the architecture is told in two pictures', () => {
  expect(read('architecture.md').match(/^```mermaid$/gm)).toHaveLength(2)
})
