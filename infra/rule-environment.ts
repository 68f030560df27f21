import type { EnvironmentName } from '../lambda/config.ts'
import { STAGE } from '../lambda/constants.ts'
import type { Settings } from './settings.ts'

/** What both functions are told: only what is configured, since the defaults are the function's own. */
export function ruleEnvironment(settings: Settings): Record<string, string> {
  const values: Partial<Record<EnvironmentName, string | undefined>> = {
    [STAGE.variable]: settings.stage,
    INTERNAL_DOMAINS: settings.internalDomains?.join(','),
    LIMIT_USERS: settings.limitUsers?.toString(),
    LIMIT_GRANTS: settings.limitGrants?.toString(),
    LIMIT_USD: settings.limitUsd?.toString(),
    LIMIT_CORRECTIONS_USD: settings.limitCorrectionsUsd?.toString(),
    MAX_FAILED_USERS: settings.maxFailedUsers?.toString(),
    MAX_FAILED_PERCENT: settings.maxFailedPercent?.toString(),
    MIN_GRANT_AGE_SECONDS: settings.minGrantAgeSeconds?.toString(),
    PLAN_MAX_AGE_HOURS: settings.planMaxAgeHours?.toString(),
    CORRECTION_DESCRIPTIONS:
      settings.correctionDescriptions && JSON.stringify(settings.correctionDescriptions),
    REVIEW_CATEGORIES: settings.reviewCategories?.join(','),
    EXCLUDED_CATEGORIES: settings.excludedCategories?.join(','),
    EXCLUDED_USER_IDS: settings.excludedUserIds?.join(','),
    LEDGER_FORMERLY: settings.ledgerFormerly?.join(','),
    ACCEPTED_REFERENCES: settings.acceptedReferences?.join(','),
  }
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
}
