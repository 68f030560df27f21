import { invokeJob, type InvocationOptions, type JobPlace } from '../support/job.ts'

/** Asks the job something that is not about the state of one run. */
export async function ask<Answer>(
  place: JobPlace,
  payload: object,
  options: InvocationOptions = {},
): Promise<Answer> {
  return (await invokeJob(place, payload, options)) as unknown as Answer
}
