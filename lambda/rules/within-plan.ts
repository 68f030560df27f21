import type { ChangePlan, CreditLine } from './types.ts'

/** What an approved dry run showed of one user; `credits` of a skipped user have no expired amount. */
export type ShownPlan = {
  readonly expiredMicrodollars: number
  readonly duePaidMicrodollars: number
  readonly correctionMicrodollars: number
  readonly credits: readonly Pick<CreditLine, 'id' | 'targeted' | 'expiredMicrodollars'>[]
}

/**
 * One thing in which a fresh plan goes beyond what was shown. `id` is the grant of a targeted grant or
 * closing row, null for an amount of the user. `shownMicrodollars` is null where nothing of the kind was
 * shown.
 */
export type Exceeded = {
  readonly what: 'targeted_grant' | 'closing_row' | 'expired' | 'due_paid' | 'correction'
  readonly id: string | null
  readonly shownMicrodollars: number | null
  readonly nowMicrodollars: number
}

/**
 * In what a fresh plan goes beyond the approved one: a targeted grant or a closing row that was not shown, or
 * more to expire (free and due paid apart) or to correct. Less is fine, since credit was spent meanwhile. An
 * empty list means that the plan may be applied (2-run-protocol, "Plan, then execute exactly that"). A user
 * who was not shown at all (`shown` null) exceeds with every closing row.
 */
export function exceeds(plan: ChangePlan, shown: ShownPlan | null): Exceeded[] {
  const shownClosings = new Map(
    (shown?.credits ?? [])
      .filter((credit) => credit.expiredMicrodollars !== null)
      .map((credit) => [credit.id, credit.targeted]),
  )
  const rows = plan.credits
    .filter(({ id, targeted }) => shownClosings.get(id) !== targeted)
    .map(({ id, targeted, expiredMicrodollars }): Exceeded => ({
      what: targeted ? 'targeted_grant' : 'closing_row',
      id,
      shownMicrodollars: null,
      nowMicrodollars: expiredMicrodollars ?? 0,
    }))
  const amounts: Exceeded[] = [
    amount('expired', shown?.expiredMicrodollars, plan.expiredMicrodollars),
    amount('due_paid', shown?.duePaidMicrodollars, plan.duePaidMicrodollars),
    amount('correction', shown?.correctionMicrodollars, plan.change.correction?.amountMicrodollars ?? 0),
  ]
  return [
    ...rows,
    ...amounts.filter(({ shownMicrodollars, nowMicrodollars }) => nowMicrodollars > (shownMicrodollars ?? 0)),
  ]
}

function amount(what: Exceeded['what'], shown: number | undefined, nowMicrodollars: number): Exceeded {
  return { what, id: null, shownMicrodollars: shown ?? null, nowMicrodollars }
}
