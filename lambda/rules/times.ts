import { UnusableValue } from './amounts.ts'
import type { LedgerTime } from './types.ts'

/**
 * Times stay text, because a JavaScript Date drops the microseconds that PostgreSQL keeps, and a guard on
 * such a time would then never match. Only comparisons look inside the text. COMMON is what nearly all times
 * look like, and saves taking them apart.
 */
const COMMON = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/
const ISO = /^(\d{4,6})-(\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{3})(\d{3})Z( BC)?$/
const POSTGRES = /^(\d{4,6}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?\+00( BC)?$/

/**
 * The text that PostgreSQL prints for a timestamptz under TimeZone UTC and DateStyle ISO, as ISO text with
 * six decimals. PostgreSQL reads the result back as the same time, whatever its settings.
 * @throws UnusableValue when the text has another form
 */
export function fromPostgres(text: string): LedgerTime {
  if (text === 'infinity' || text === '-infinity') return text
  const match = POSTGRES.exec(text)
  if (!match) throw new UnusableValue(`the time ${text} is not in the form that PostgreSQL prints in UTC`)
  const [, date = '', time = '', fraction = '', era = ''] = match
  return `${date}T${time}.${fraction.padEnd(6, '0')}Z${era}`
}

/** A run's instant (`….123Z`, whole milliseconds) as the ledger stores it. */
export function instantToLedgerTime(instant: string): LedgerTime {
  return instant.replace(/\.(\d{3})Z$/, '.$1000Z')
}

/**
 * Milliseconds since 1970, microseconds dropped: the precision at which production compares and orders.
 * @throws UnusableValue for a time that JavaScript cannot hold, or that has another form
 */
export function millisOf(time: LedgerTime): number {
  if (time === 'infinity') return Infinity
  if (time === '-infinity') return -Infinity
  // Checked first: Date.parse makes some date or other of text that is no date at all.
  if (COMMON.test(time)) return checkedMillis(time, Date.parse(`${time.slice(0, 23)}Z`))
  const match = ISO.exec(time)
  if (!match) throw new UnusableValue(`the time ${time} is not in the form of the rules`)
  const [, year = '', rest = '', millis = '', , era] = match
  const astronomicalYear = era === undefined ? Number(year) : 1 - Number(year)
  const sign = astronomicalYear < 0 ? '-' : '+'
  return checkedMillis(
    time,
    Date.parse(`${sign}${String(Math.abs(astronomicalYear)).padStart(6, '0')}-${rest}.${millis}Z`),
  )
}

function checkedMillis(time: LedgerTime, parsed: number): number {
  if (Number.isNaN(parsed)) throw new UnusableValue(`the time ${time} cannot be compared`)
  return parsed
}

/** The microseconds below a time's milliseconds, 0 to 999. */
export function microsBelowMilli(time: LedgerTime): number {
  return Number(time.endsWith('Z') ? time.slice(-4, -1) : (ISO.exec(time)?.[4] ?? 0))
}

/** Orders times exactly, microseconds included: negative, zero or positive. */
export function compareTimes(a: LedgerTime, b: LedgerTime): number {
  if (a === b) return 0
  // Of this form the text itself is in the order of time.
  if (COMMON.test(a) && COMMON.test(b)) return a < b ? -1 : 1
  const [millisA, millisB] = [millisOf(a), millisOf(b)]
  return millisA === millisB ? microsBelowMilli(a) - microsBelowMilli(b) : millisA < millisB ? -1 : 1
}

/** The earliest of some times, or null where there is none. */
export function earliest(times: readonly LedgerTime[]): LedgerTime | null {
  return times.reduce<LedgerTime | null>(
    (least, time) => (least === null || compareTimes(time, least) < 0 ? time : least),
    null,
  )
}
