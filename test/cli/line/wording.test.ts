import { expect, test } from 'vitest'
import { inCommandWords } from '../../../bin/cli/line/wording.ts'

test.each<[string, string]>([
  ['To finish it, send {"resume": "a-b"}.', 'To finish it, run npm start -- --resume a-b.'],
  ['Send the payload {} again.', 'Run npm start again.'],
  [
    'A valid payload: {"execute": true, "plan": "<dry run id>"}',
    'A valid command: npm start -- --execute --plan <dry run id>',
  ],
  ['add "restart": "a-b" to this payload', 'add --restart a-b to this command'],
  ['needs "execute": true beside it', 'needs --execute beside it'],
  ['field "domains": x is not configured', '--domains: x is not configured'],
  ['field "limits.usd": 5 is too much', '--limit-usd: 5 is too much'],
  ['field "userIds[3]": no such user', '--user-ids [3]: no such user'],
  ['cannot be combined with "resume"', 'cannot be combined with --resume'],
  ['the description {not json} and "other" stay', 'the description {not json} and "other" stay'],
  [
    'sent {"batchSize": 5, "requestKey": "k"}',
    `sent npm start -- --event '{"batchSize":5,"requestKey":"k"}'`,
  ],
])('%s', (message, shown) => {
  expect(inCommandWords(message)).toBe(shown)
})
