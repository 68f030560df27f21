import { type Command, payloadOf, RUN_FIELDS } from './command.ts'
import { checkDomains, latestRun } from './engine.ts'
import { withinDeadline, withToolsHere } from './job.ts'
import { userIds } from './users.ts'

/**
 * The command with what can only be looked up: the run that `latest` means, and the users that e-mail addresses
 * name. Domains are checked against the configured ones.
 * @throws UsageError, LedgerUnavailable, ArchiveUnavailable, ArchiveCorrupt
 */
export async function resolved(command: Command): Promise<Command> {
  const { event, given, invocationSeconds } = command
  const latest = RUN_FIELDS.filter((field) => event[field] === 'latest')
  const domains = given.domains
  const users = given.userIds
  if (latest.length === 0 && domains === undefined && users === undefined) return command
  return withToolsHere(async (tools) =>
    withinDeadline(invocationSeconds * 1000, async () => {
      if (isList(domains)) checkDomains(domains, tools)
      const found: Record<string, unknown> = { ...event }
      for (const field of latest) found[field] = await latestRun(field, tools)
      if (isList(users)) found.userIds = await userIds(users, tools)
      return { ...command, event: found, payload: payloadOf(found, given.event !== undefined) }
    }),
  )
}

function isList(value: unknown): value is readonly string[] {
  return Array.isArray(value)
}
