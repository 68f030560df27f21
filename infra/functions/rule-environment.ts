import type { EnvironmentName } from '../../lambda/config.ts'
import { STAGE } from '../../lambda/constants.ts'
import { numbersByVariable } from './function-numbers.ts'
import type { Settings } from '../settings.ts'

/** The environment of both functions: only what is configured, since the defaults are the function's own. */
export function ruleEnvironment(settings: Settings): Record<string, string> {
  const values: Partial<Record<EnvironmentName, string | undefined>> = {
    [STAGE.variable]: settings.stage,
    INTERNAL_DOMAINS: settings.internalDomains?.join(','),
    CORRECTION_DESCRIPTIONS:
      settings.correctionDescriptions && JSON.stringify(settings.correctionDescriptions),
    REVIEW_CATEGORIES: settings.reviewCategories?.join(','),
    EXCLUDED_CATEGORIES: settings.excludedCategories?.join(','),
    EXCLUDED_USER_IDS: settings.excludedUserIds?.join(','),
    LEDGER_FORMERLY: settings.ledgerFormerly?.join(','),
    ACCEPTED_REFERENCES: settings.acceptedReferences?.join(','),
  }
  const texts = Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return { ...Object.fromEntries(texts), ...numbersByVariable(settings.numbers) }
}
