import { dollars, type ExitCard } from '../../lambda/exit-card.ts'
import { redact } from '../../lambda/redact.ts'
import { count } from './columns.ts'
import { printable, type Terminal } from './terminal.ts'
import { spoken, wordsFor } from './words.ts'

/** Tells the person on standard error how far things are: a bar on a terminal, a plain line now and then elsewhere. */
export type Progress = {
  /** A message of its own line; the bar steps aside for it. */
  readonly say: (text: string) => void
  /** A run, or the counting before one, begins: rates are counted from here. */
  readonly begin: (label: string) => void
  /** The run's card after a page. */
  readonly show: (card: ExitCard) => void
  /** No more pages: the bar goes. */
  readonly end: () => void
  /** The card that was shown last. */
  readonly latest: () => ExitCard | null
}

const BAR_EVERY_MS = 100
const LINE_EVERY_MS = 5_000
/** A run whose instant lies further back than this was begun by an earlier command, and not just by a clock that differs. */
const CLOCKS_DIFFER_MS = 60_000
const CLEAR_LINE = '\r\u001b[K'

/** Progress on the terminal's standard error. */
export function progressOn({ err, now }: Pick<Terminal, 'err' | 'now'>): Progress {
  let label = ''
  let bar = ''
  let began = 0
  let doneBefore: number | null = null
  let shownAt = -Infinity
  let latest: ExitCard | null = null

  const clear = (): void => {
    if (bar !== '') err.write(CLEAR_LINE)
  }
  const draw = (text: string): void => {
    bar = text
    err.write(`${CLEAR_LINE}${text}`)
  }

  return {
    say(text) {
      clear()
      err.write(`${printableLines(redact(text))}\n`)
      if (bar !== '') draw(bar)
    },
    begin(text) {
      label = text
      began = now()
      doneBefore = null
      shownAt = -Infinity
      if (err.isTTY) draw(`${label} …`)
      else err.write(`${label} …\n`)
    },
    latest: () => latest,
    show(card) {
      latest = card
      const { usersDone, usersTotal } = card.progress
      const at = now()
      // What was done before this command began is no measure of its speed.
      doneBefore ??= Date.parse(card.instant) < began - CLOCKS_DIFFER_MS ? usersDone : 0
      if (at - shownAt < (err.isTTY ? BAR_EVERY_MS : LINE_EVERY_MS) && usersDone < usersTotal) return
      shownAt = at
      const seconds = (at - began) / 1000
      const perSecond = seconds > 0 ? (usersDone - doneBefore) / seconds : 0
      if (err.isTTY) draw(barText(label, card, perSecond, err.columns))
      else err.write(`${lineText(label, card, perSecond)}\n`)
    },
    end() {
      clear()
      bar = ''
    },
  }
}

function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n')
}

/** `Execute [#####-----] 300/600 users, 1,200/s, 0:01 left, $300.00 expired`, cut to the terminal's width. */
export function barText(label: string, card: ExitCard, perSecond: number, columns: number): string {
  const { usersDone, usersTotal } = card.progress
  const facts = factsOf(card, perSecond)
  const room = Math.min(40, columns - 1 - label.length - facts.length - 4)
  if (room < 10) return `${label} ${facts}`.slice(0, columns - 1)
  const filled = usersTotal === 0 ? room : Math.floor((usersDone / usersTotal) * room)
  return `${label} [${'#'.repeat(filled)}${'-'.repeat(room - filled)}] ${facts}`
}

/** The same without a bar. */
export function lineText(label: string, card: ExitCard, perSecond: number): string {
  return `${label}: ${factsOf(card, perSecond)}`
}

function factsOf(card: ExitCard, perSecond: number): string {
  const { usersDone, usersTotal } = card.progress
  const left = perSecond > 0 ? (usersTotal - usersDone) / perSecond : null
  return [
    `${count(usersDone)}/${count(usersTotal)} users`,
    `${count(Math.round(perSecond))}/s`,
    ...(usersDone < usersTotal && left !== null ? [`${clock(left)} left`] : []),
    `${dollars(spoken(card.mode, card.totals.expiredMicrodollars))} ${wordsFor(card.mode).changed}`,
  ].join(', ')
}

function clock(seconds: number): string {
  const whole = Math.ceil(seconds)
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60]
  return hours > 0 ? `${hours}:${twoDigits(minutes)}:${twoDigits(rest)}` : `${minutes}:${twoDigits(rest)}`
}

function twoDigits(number: number): string {
  return String(number).padStart(2, '0')
}
