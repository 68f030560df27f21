import type { Field } from './fields.ts'

const SELECTION = ['domains', 'userIds', 'exceptUserIds', 'categories'] as const
const WHO = ['by', 'reason'] as const
const OPENING = [...WHO, 'concurrency', 'gentle', 'requestKey'] as const

/**
 * One kind of payload: the field that leads it, what fits beside that, what is needed, and an example. One that
 * writes is no example: it could be sent by a person who had asked for less.
 */
type Shape = {
  readonly lead: Field | null
  readonly needs?: readonly Field[]
  readonly beside: readonly Field[]
  readonly example: string | null
}

const SHAPES: readonly [Shape, ...Shape[]] = [
  { lead: null, beside: [...SELECTION, ...OPENING, 'limits', 'batchSize'], example: null },
  { lead: 'resume', beside: [...WHO, 'intentsRestored'], example: '{"resume": "<run id>"}' },
  { lead: 'cancel', beside: [...WHO, 'intentsRestored'], example: '{"cancel": "<run id>"}' },
  {
    lead: 'abandon',
    needs: ['reason'],
    beside: WHO,
    example: '{"abandon": "<run id>", "reason": "cursor.json is lost"}',
  },
  { lead: 'hold', beside: ['by'], example: '{"hold": "database migration"}' },
  { lead: 'release', beside: ['by'], example: '{"release": "migration is done"}' },
  { lead: 'check', beside: [], example: '{"check": true}' },
  { lead: 'status', beside: [], example: '{"status": "latest"}' },
  {
    lead: 'history',
    beside: ['from', 'to', 'dryRuns'],
    example: '{"history": "<user id or e-mail>", "from": "2026-10", "to": "2027-04"}',
  },
  { lead: 'verify', beside: [], example: '{"verify": "<run id>"}' },
  { lead: 'diff', beside: [], example: '{"diff": ["<run id>", "<run id>"]}' },
  { lead: 'report', beside: [], example: '{"report": "<run id>"}' },
  {
    lead: 'rollback',
    beside: [...OPENING, 'execute', 'restart', 'userIds', 'underHold'],
    example: '{"rollback": "<run id>"}',
  },
  {
    lead: 'plan',
    needs: ['execute'],
    beside: [...OPENING, 'execute', 'restart', 'limits'],
    example: null,
  },
  {
    lead: 'execute',
    beside: [...SELECTION, ...OPENING, 'restart', 'limits', 'batchSize'],
    example: null,
  },
]

/** Fields that need others beside them, whichever field leads. */
const NEEDS: Partial<Record<Field, readonly Field[]>> = {
  restart: ['execute'],
  underHold: ['execute', 'reason'],
}

const [BARE] = SHAPES

/** Whether a field is there: false means the same as absent. */
export function isGiven(payload: Readonly<Record<string, unknown>>, key: Field): boolean {
  return Object.hasOwn(payload, key) && payload[key] !== undefined && payload[key] !== false
}

/** The kind of payload that a leading field makes it. */
export function shapeOf(payload: Readonly<Record<string, unknown>>): Shape {
  return SHAPES.find(({ lead }) => lead !== null && isGiven(payload, lead)) ?? BARE
}

/** Examples that have a field which the example of its kind lacks. */
const EXAMPLES: Partial<Record<Field, string>> = {
  intentsRestored: '{"resume": "<run id>", "intentsRestored": true}',
  dryRuns: '{"history": "<user id or e-mail>", "dryRuns": true}',
}

/** The kind of payload that has room for a field beside what is given; undefined where none has. */
function homeOf(key: Field, { lead }: Shape): Shape | undefined {
  const fitting = SHAPES.filter(
    ({ beside }) => beside.includes(key) && (lead === null || beside.includes(lead)),
  )
  return fitting.find((shape) => shape.lead === 'execute') ?? fitting[0]
}

function shown(field: Field): string {
  return field === 'execute' ? '"execute": true' : `"${field}"`
}

/** The end of a complaint about a field: a valid payload that has it, where there is one that writes nothing. */
export function exampleWith(key: Field, { example }: Shape): string {
  const found = [EXAMPLES[key], example].find((payload) => payload?.includes(`"${key}"`))
  return found ? `. A valid payload: ${found}` : ''
}

/**
 * What is wrong with a given field in a payload of this kind: it does not fit there, or lacks others beside it.
 */
export function complaintAbout(
  key: Field,
  shape: Shape,
  payload: Readonly<Record<string, unknown>>,
): string | null {
  const fits = key === shape.lead || shape.beside.includes(key)
  const home = fits ? shape : homeOf(key, shape)
  if (home === undefined)
    return `cannot be combined with "${shape.lead}"${shape.example ? `. A valid payload without it: ${shape.example}` : ''}`
  const needed = [
    ...(fits ? [] : [home.lead ?? 'execute']),
    ...(key === shape.lead ? (shape.needs ?? []) : []),
    ...(NEEDS[key] ?? []),
  ]
  const missing = [...new Set(needed)].filter((field) => !isGiven(payload, field)).map(shown)
  return missing.length > 0 ? `needs ${andText(missing)} beside it${exampleWith(key, home)}` : null
}

/** `a`, `a and b`, `a, b and c` */
function andText(words: readonly string[]): string {
  const [last = '', ...before] = words.toReversed()
  return before.length === 0 ? last : `${before.toReversed().join(', ')} and ${last}`
}
