import type { Field } from './event-fields.ts'

const SELECTION = ['domains', 'userIds', 'exceptUserIds', 'categories'] as const
const WHO = ['by', 'reason'] as const
const OPENING = [...WHO, 'concurrency', 'gentle', 'requestKey'] as const

/** One kind of payload: the field that leads it, what fits beside that, what is needed, and an example. */
type Shape = {
  readonly lead: Field | null
  readonly needs?: readonly Field[]
  readonly beside: readonly Field[]
  readonly example: string
}

const SHAPES: readonly [Shape, ...Shape[]] = [
  { lead: null, beside: [...SELECTION, ...OPENING, 'limits', 'batchSize'], example: '{}' },
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
    example: '{"rollback": "<run id>", "execute": true}',
  },
  {
    lead: 'plan',
    needs: ['execute'],
    beside: [...OPENING, 'execute', 'restart', 'limits'],
    example: '{"execute": true, "plan": "<dry run id>"}',
  },
  {
    lead: 'execute',
    beside: [...SELECTION, ...OPENING, 'restart', 'limits', 'batchSize'],
    example: '{"execute": true, "domains": ["kilo.ai"]}',
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

/** Why a field does not fit beside the leading one, or null. */
function complaintAboutPlace(key: Field, shape: Shape): string | null {
  if (shape.beside.includes(key)) return null
  if (shape.lead !== null) return `cannot be combined with "${shape.lead}"${exampleOf(shape)}`
  const fitting = SHAPES.filter(({ beside }) => beside.includes(key))
  const other = fitting.find(({ lead }) => lead === 'execute') ?? fitting[0] ?? BARE
  return `needs ${shown(other.lead ?? 'execute')} beside it${exampleOf(other)}`
}

function shown(field: Field): string {
  return field === 'execute' ? '"execute": true' : `"${field}"`
}

/** The end of a complaint: a payload of this kind that is valid. */
export function exampleOf({ example }: Shape): string {
  return `. A valid payload: ${example}`
}

/**
 * What is wrong with a given field in a payload of this kind: it does not fit there, or lacks another beside
 * it.
 */
export function complaintAbout(
  key: Field,
  shape: Shape,
  payload: Readonly<Record<string, unknown>>,
): string | null {
  const complaint = key === shape.lead ? null : complaintAboutPlace(key, shape)
  if (complaint !== null) return complaint
  const missing = [...(key === shape.lead ? (shape.needs ?? []) : []), ...(NEEDS[key] ?? [])]
    .filter((field) => !isGiven(payload, field))
    .map(shown)
  return missing.length > 0 ? `needs ${missing.join(' and ')} beside it${exampleOf(shape)}` : null
}
