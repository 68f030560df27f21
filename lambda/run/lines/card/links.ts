import type { Cursor } from '../../../archive/cursor.ts'
import { LOG_KINDS, logFolder, type LogKind, partKey, runFileKey, runFolder } from '../../../archive/keys.ts'
import type { Config } from '../../../config.ts'
import type { ExitCard } from '../../../exit-card.ts'

/** Where links lead. */
export type Place = Pick<Config, 'bucket'> & { readonly region: string }

/** The links of a run's card: a file where a log has one part, else the folder of its parts. */
export function linksOf(
  runId: string,
  cursor: Pick<Cursor, 'pages' | 'pagesTotal'>,
  place: Place,
): ExitCard['logs'] {
  const keyOf = (kind: LogKind): string => {
    const [only, ...more] = cursor.pages.filter((named) => named[kind] !== null)
    return only && more.length === 0 && cursor.pagesTotal === 1
      ? partKey(runId, kind, only.page, only.epoch)
      : logFolder(runId, kind)
  }
  const [users = '', mutations = '', errors = ''] = LOG_KINDS.map(keyOf)
  const run = runFolder(runId)
  const object = (key: string): string => objectUrl(key, place)
  const page = (key: string): string => consoleUrl(key, place)
  return {
    users: object(users),
    mutations: object(mutations),
    errors: object(errors),
    run: object(run),
    report: object(runFileKey(runId, 'report.html')),
    console: { users: page(users), mutations: page(mutations), errors: page(errors), run: page(run) },
  }
}

/** The address of an object in S3. */
export function objectUrl(key: string, { bucket }: Place): string {
  return `s3://${bucket}/${key}`
}

/** The page of an object, or of a folder, in the AWS console. */
export function consoleUrl(key: string, { bucket, region }: Place): string {
  const kind = key.endsWith('/') ? 'buckets' : 'object'
  return `https://${region}.console.aws.amazon.com/s3/${kind}/${bucket}?region=${region}&prefix=${key}`
}
