import { RunRefused } from './errors.ts'

/** AWS takes no request whose time is further off, and what this machine logs would no longer fit the ledger's times. */
const FURTHEST_APART_MS = 5 * 60_000

/**
 * The database's clock is what counts; but one that differs much from this machine's is wrong itself, or this one is.
 * @throws RunRefused
 */
export function refuseClocksApart(databaseNow: string, now: Date): void {
  const apartMs = Math.abs(Date.parse(databaseNow) - now.getTime())
  if (apartMs <= FURTHEST_APART_MS) return
  throw new RunRefused(
    `The database's clock says ${databaseNow}, this machine's ${now.toISOString()}: they are ${Math.round(apartMs / 60_000)} minutes apart. Nothing was done. Set the one that is wrong (NTP), then try again.`,
  )
}
