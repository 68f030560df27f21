import { SingleBar } from 'cli-progress'
import { dollars, type ExitCard } from '../../../lambda/exit-card.ts'
import { redact } from '../../../lambda/redact.ts'
import { prose } from '../print/prose.ts'
import { count } from '../print/tables.ts'
import { printable, type Terminal } from '../terminal.ts'
import { shownAmount, wordsFor } from '../print/words.ts'

/** Shows on standard error how far the work is: a bar on a terminal, a plain line now and then elsewhere. */
export type Progress = {
  /** A message on its own line, above the bar. */
  readonly say: (text: string) => void
  /** Some work begins; rates are counted from here. */
  readonly begin: (label: string) => void
  /** The run's card after a page. */
  readonly show: (card: ExitCard) => void
  /** Users counted before a run. */
  readonly counted: (users: number, all: number) => void
  /** One line with a countdown to `until` (ISO text), where it is known. */
  readonly waiting: (until: string | null) => void
  readonly end: () => void
  /** The card that was shown last. */
  readonly latest: () => ExitCard | null
}

/** What a progress line says. */
export type Facts = {
  readonly label: string
  readonly done: number
  readonly total: number
  /** Users a second; 0 while it is unknown. */
  readonly perSecond: number
  readonly amount: string | null
}

const LINE_EVERY_MS = 5_000
/**
 * A run whose instant is older than this was begun by an earlier command; less may be a difference of clocks.
 */
const CLOCKS_DIFFER_MS = 60_000

export function progressOn({ err, now }: Pick<Terminal, 'err' | 'now'>): Progress {
  let facts: Facts = { label: '', done: 0, total: 0, perSecond: 0, amount: null }
  let began = 0
  let doneBefore: number | null = null
  let latest: ExitCard | null = null
  let bar: SingleBar | null = null
  let line: (() => string) | null = null
  let isWaiting = false
  let lineAt = -Infinity

  const stop = (): void => {
    bar?.stop()
    bar = null
  }
  /** The library draws the line again whenever its text has changed: bars and countdowns need nothing else. */
  const draw = (wanted: () => string): void => {
    if (bar !== null && line === wanted) return
    stop()
    line = wanted
    bar = new SingleBar({
      stream: err.stream,
      format: () => line?.() ?? '',
      clearOnComplete: true,
      hideCursor: true,
      gracefulExit: false,
    })
    bar.start(1, 0)
  }
  const barLine = (): string => barText(facts, err.columns)
  const update = (done: number, total: number, amount: string | null): void => {
    const seconds = (now() - began) / 1000
    const perSecond = seconds > 0 ? (done - (doneBefore ?? 0)) / seconds : 0
    facts = { ...facts, done, total, perSecond, amount }
    if (err.isTTY) return draw(barLine)
    if (done < total && now() - lineAt < LINE_EVERY_MS) return
    lineAt = now()
    err.write(`${lineText(facts)}\n`)
  }

  return {
    say(text) {
      bar?.stop()
      const lines = redact(text).split('\n')
      err.write(`${lines.map((said) => prose(printable(said), err.columns)).join('\n')}\n`)
      bar?.start(1, 0)
    },
    begin(label) {
      facts = { label, done: 0, total: 0, perSecond: 0, amount: null }
      began = now()
      doneBefore = null
      if (err.isTTY) draw(() => `${label} … Ctrl-C stops`)
      else err.write(`${label} …\n`)
    },
    show(card) {
      latest = card
      const { usersDone, usersTotal } = card.progress
      if (isWaiting) {
        began = now()
        doneBefore = usersDone
        isWaiting = false
      }
      // What was done before this command began is no measure of its speed.
      doneBefore ??= Date.parse(card.instant) < began - CLOCKS_DIFFER_MS ? usersDone : 0
      const expired = dollars(shownAmount(card.mode, card.totals.expiredMicrodollars))
      update(usersDone, usersTotal, `${expired} ${wordsFor(card.mode).changed}`)
    },
    counted: (users, all) => update(users, all, null),
    waiting(until) {
      if (err.isTTY) draw(() => waitingText(until, now()))
      else if (!isWaiting) err.write(`${waitingText(until, null)}\n`)
      isWaiting = true
    },
    end: stop,
    latest: () => latest,
  }
}

/**
 * `Execute [#####-----] 300/600 users, 0:01 left, $300.00 expired, 1,200/s, Ctrl-C stops`: what fits in one
 * line.
 */
export function barText(facts: Facts, columns: number): string {
  const { label, done, total } = facts
  const [users = '', ...more] = parts(facts)
  for (let kept = more.length; kept >= 0; kept -= 1) {
    const text = [users, ...more.slice(0, kept), 'Ctrl-C stops'].join(', ')
    const room = Math.min(40, columns - 1 - label.length - text.length - 4)
    if (room < 10 && kept > 0) continue
    if (room < 3) return `${label} ${text}`.slice(0, columns - 1)
    const filled = total === 0 ? room : Math.floor((done / total) * room)
    return `${label} [${'#'.repeat(filled)}${'-'.repeat(room - filled)}] ${text}`
  }
  return label
}

/** The same without a bar, for an output that is not a terminal. */
export function lineText(facts: Facts): string {
  return `${facts.label}: ${parts(facts).join(', ')}`
}

/** The most important first. */
function parts({ done, total, perSecond, amount }: Facts): string[] {
  const left = perSecond > 0 && done < total ? [`${clock((total - done) / perSecond)} left`] : []
  const rate = perSecond > 0 ? [`${count(Math.round(perSecond))}/s`] : []
  return [`${count(done)}/${count(total)} users`, ...left, ...(amount === null ? [] : [amount]), ...rate]
}

/** With `now`, as a countdown. */
export function waitingText(until: string | null, now: number | null): string {
  if (until === null) return 'Waiting for another invocation. Ctrl-C stops waiting.'
  if (now === null) return `Waiting for another invocation. Its lease expires at ${until}.`
  return `Waiting: the lease expires in ${clock(Math.max(0, (Date.parse(until) - now) / 1000))}. Ctrl-C stops.`
}

function clock(seconds: number): string {
  const whole = Math.ceil(seconds)
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60]
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`
}

function two(number: number): string {
  return String(number).padStart(2, '0')
}
