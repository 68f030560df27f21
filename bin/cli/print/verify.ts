import { modeOf } from '../../../lambda/archive/keys.ts'
import { counted } from '../../../lambda/insight/report/page/text.ts'
import type { VerifyAnswer } from '../../../lambda/insight/verify/verify.ts'
import { differenceText } from '../../difference-text.ts'
import { type Output, printable } from '../terminal.ts'
import { paragraph } from './prose.ts'
import { nextSection } from './report.ts'
import { count, textOf } from './tables.ts'

type Out = Pick<Output, 'columns' | 'style'>

/** What a verification found, for people: the result in a sentence, what was compared, each difference. */
export function verifyText(answer: VerifyAnswer, out: Out): string {
  const { result, runId, differences, differenceCount, next } = answer
  const more = differenceCount - differences.length
  return textOf([
    out.style('bold', `Verify: ${result}`),
    ...(runId === null ? [] : [`Run: ${runId}`]),
    ...[...found(answer), ...compared(answer)].flatMap((text) => paragraph(text, out.columns)),
    ...(differences.length === 0 ? [] : ['']),
    ...differences.flatMap((one) => paragraph(`- ${printable(differenceText(one))}`, out.columns, '', '  ')),
    ...(more > 0 ? [`and ${count(more)} more`] : []),
    ...nextSection(next, out),
  ])
}

function found({ result, runId, differenceCount, explained }: VerifyAnswer): string[] {
  const isDry = modeOf(runId ?? '')?.endsWith('dry-run') ?? false
  const ledger = isDry ? '' : ', and the ledger is as the run left it'
  const later = explained.map(({ runId: by, values }) => `${values} by run ${by}`).join(', ')
  const since = later === '' ? [] : [`Later runs changed values of the ledger that this run wrote: ${later}.`]
  switch (result) {
    case 'verified':
      return [`The logs are as the run wrote them, and follow from the rules${ledger}.`, ...since]
    case 'differences':
      return [
        `${differenceCount === 1 ? '1 value is' : `${count(differenceCount)} values are`} not as expected:`,
        ...since,
      ]
    case 'incomplete':
      return ['The time ended before everything was compared. No difference was found until then.', ...since]
    case 'nothing_to_verify':
      return ['No execute is closed yet.']
  }
}

function compared({ runId, checked }: VerifyAnswer): string[] {
  if (runId === null) return []
  const { users, mutations, parts, chain, signed } = checked
  const rows = `${counted(users, 'user')} and ${counted(mutations, 'mutation')} in ${counted(parts, 'log part')}`
  const signatures = signed === null ? 'signatures were not checked' : `${counted(signed, 'signature')} valid`
  const runs = chain === 0 ? '' : `; ${counted(chain, 'writing run')} in the chain, ${signatures}`
  return [`Compared: ${rows}${runs}.`]
}
