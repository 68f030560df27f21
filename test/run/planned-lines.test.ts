import { expect, test } from 'vitest'
import type { Run } from '../../lambda/archive/runs.ts'
import { packInputs, unpackInputs } from '../../lambda/rules/inputs.ts'
import { planUser } from '../../lambda/rules/plan.ts'
import { linesOfChange } from '../../lambda/run/lines/planned-lines.ts'
import { contextOf } from '../../lambda/run/lines/run-rules.ts'
import { fc, SEED } from '../rules/fuzz.ts'
import { ledgers } from '../rules/ledgers.ts'

test(`the lines of a change are the same from what was read and from its packed inputs (FC_SEED=${SEED})`, () => {
  fc.assert(
    fc.property(ledgers, ({ user, rows, settings, circumstances }) => {
      const plan = planUser(user, rows, settings, circumstances)
      fc.pre(plan.change !== null)
      if (!plan.change) return
      const inputs = packInputs(user, rows, circumstances)
      const run = {
        runId: 'run',
        mode: 'execute',
        instant: '2026-11-22T06:12:30.123Z',
        settings,
        selection: settings,
      } as unknown as Run
      const context = contextOf(run, '00000-0001-001')
      const { line, mutations } = linesOfChange(run, context, { plan, rows, inputs })
      const packed = unpackInputs(JSON.parse(JSON.stringify(inputs)))
      const again = linesOfChange(run, context, { plan, rows: packed.rows, inputs })
      expect(again.mutations).toEqual(mutations)
      expect(again.line).toEqual(line)
    }),
  )
})
