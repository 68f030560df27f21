import { Logger } from '@aws-lambda-powertools/logger'
import { Metrics } from '@aws-lambda-powertools/metrics'
import { type Answer, isCard } from '../../lambda/answer.ts'
import { createHandler } from '../../lambda/handler.ts'
import { localContext } from '../local-context.ts'
import { CALLER } from './caller.ts'
import type { Options } from './compare.ts'
import { type Figure, median, timed } from './figures.ts'
import { startBench } from './servers.ts'
import { runYear } from './year.ts'

const USERS = 300
const WEEKS = 52
const MOST_SECONDS = 2

/** The story of one user of 300 in a year of weekly executes with a dry run beside each. */
export async function historyOfYear({ rounds, say }: Options): Promise<Figure[]> {
  const bench = await startBench({ users: USERS * 2, internal: USERS, transactionsEach: 8, othersEach: 2 })
  try {
    return await bench.onCopy(async ({ sql, env }) => {
      Object.assign(process.env, env)
      const invoke = invokerHere()
      const making = await timed(async () =>
        runYear({ sql, invoke: async (event) => cardOf(await invoke(event)), weeks: WEEKS }),
      )
      say(`${WEEKS * 2} runs made in ${making.toFixed(0)} s`)
      const [user] = await sql<{ id: string; email: string }[]>`
        select id, google_user_email as email
        from kilocode_users
        where google_user_email like '%@kilo.ai'
        order by id
        offset ${USERS / 2} limit 1
      `
      if (!user) throw new Error('The bench ledger has no internal user.')
      const secondsOf = async (asked: string): Promise<number> => {
        const seconds: number[] = []
        for (let round = 0; round < rounds; round++)
          seconds.push(await timed(async () => invoke({ history: asked })))
        return median(seconds)
      }
      const byId = await secondsOf(user.id)
      const byEmail = await secondsOf(user.email)
      await sql`update kilocode_users set google_user_email = 'deleted@deleted.invalid' where id = ${user.id}`
      const byOldEmail = await secondsOf(user.email)
      return [
        { name: `history, ${WEEKS} executes of ${USERS} users: by id, s`, value: byId, atMost: MOST_SECONDS },
        { name: 'the same: by e-mail address, s', value: byEmail, atMost: MOST_SECONDS },
        { name: 'the same: by one that only the logs know, s', value: byOldEmail, atMost: MOST_SECONDS },
      ]
    })
  } finally {
    await bench.stop()
  }
}

function cardOf(answer: Answer) {
  if (isCard(answer) && answer.status === 'complete') return answer
  throw new Error(`A run of the year did not complete: ${JSON.stringify(answer)}`)
}

/** The job in this process, through its handler. */
function invokerHere(): (event: object) => Promise<Answer> {
  const logger = new Logger({ logLevel: 'SILENT' })
  const metrics = new Metrics({ namespace: 'Bench', serviceName: 'bench', logger })
  const handler = createHandler({ callerOf: () => CALLER }, logger, metrics)
  const context = localContext(() => 900_000)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- typed as the parsed event
  return async (event) => handler(event as never, context)
}
