import { answer, isCard } from '../../../lambda/answer.ts'
import { eventSchema } from '../../../lambda/event.ts'
import type { ExitCard } from '../../../lambda/exit-card.ts'
import { withTools } from '../../../lambda/host.ts'
import type { Tools } from '../../../lambda/run/tools.ts'
import { hostIn, type InvocationOptions, type JobPlace, lambdaContext } from '../../support/job.ts'
import { recordS3 } from './record-s3.ts'
import { recordSql } from './record-sql.ts'
import type { TraceEvent } from './trace.ts'

/**
 * Runs one invocation as the handler does. Its requests to S3 and its steps of the ledger are added to
 * `events`, in the order of their replies. @throws what the invocation ends with
 */
export async function recordInvocation(
  place: JobPlace,
  event: unknown,
  events: TraceEvent[],
  options: InvocationOptions = {},
): Promise<ExitCard> {
  const { host } = hostIn(place, options)
  const work = async (tools: Tools): Promise<ExitCard> => {
    const attempts = recordS3((await tools.store.s3()).client, events)
    const writer = recordSql(tools.ledger.writer, attempts, events)
    const { reader } = tools.ledger
    const ledger = {
      writer,
      reader: reader === tools.ledger.writer ? writer : recordSql(reader, attempts, events),
    }
    const answered = await answer(eventSchema.parse(event), { ...tools, ledger })
    if (!isCard(answered)) throw new Error('The invocation answered without a card.')
    return answered
  }
  return withTools(host, lambdaContext(options), work)
}
