/** The run may not do what was asked, or cannot go on. The message says why, with the numbers, and what to send instead. */
export class RunRefused extends Error {
  override readonly name = 'RunRefused'
}

/** What became of a commit is not known yet: the users of it are neither done nor failed. The lease is kept, and lapses. */
export class AttemptOpen extends Error {
  override readonly name = 'AttemptOpen'
}

/** The time of the invocation is up in the middle of a page. What it committed stands in its intents; the next one settles it. */
export class OutOfTime extends Error {
  override readonly name = 'OutOfTime'
}

/** The whole logs do not add up to what the run counted. Nothing is published; a person has to look. */
export class TotalsDiffer extends Error {
  override readonly name = 'TotalsDiffer'
}
