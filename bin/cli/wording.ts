import { commandFor, optionFor } from './shell.ts'

/**
 * A message of the job in the words of this command: payloads become command lines, fields become options.
 * `{"resume": "x"}` → `npm start -- --resume x`; `field "domains"` → `--domains`; `add "restart": "x" to this payload`
 * → `add --restart x to this command`.
 */
export function inCommandWords(text: string): string {
  return withoutPayloads(text)
    .replace(/^The event is not valid: /, 'The options are not valid: ')
    .replaceAll(
      /"([\w.]+)": (?:"([^"]*)"|true|(\d+))/g,
      (all, field: string, value?: string, digits?: string) => {
        const option = optionFor(field)
        return option === undefined
          ? all
          : [option, value ?? digits].filter((part) => part !== undefined).join(' ')
      },
    )
    .replaceAll(/(?:field )?"([a-z][\w.]*)(\[\d+\])?"/gi, (all, field: string, index?: string) => {
      const option = optionFor(field.replace(/\.\d+$/, ''))
      return option === undefined ? all : `${option}${index === undefined ? '' : ` ${index}`}`
    })
    .replaceAll(/\b(this|the|its|another|same|valid) payload\b/gi, '$1 command')
    .replaceAll(
      /\b(S|s)end (npm start)/g,
      (_, first: string, rest: string) => `${first === 'S' ? 'R' : 'r'}un ${rest}`,
    )
}

/** Every JSON object in the text that is a payload, as the command that sends it. */
function withoutPayloads(text: string): string {
  let result = ''
  let rest = text
  for (;;) {
    const start = rest.indexOf('{')
    const end = start === -1 ? -1 : endOfObject(rest, start)
    if (end === -1) return result + rest
    const json = rest.slice(start, end)
    const payload = payloadIn(json)
    result += rest.slice(0, start) + (payload ? commandFor(payload) : json)
    rest = rest.slice(end)
  }
}

function endOfObject(text: string, start: number): number {
  let depth = 0
  for (let at = start; at < text.length; at += 1) {
    if (text[at] === '{') depth += 1
    if (text[at] === '}' && (depth -= 1) === 0) return at + 1
  }
  return -1
}

function payloadIn(json: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null ? { ...value } : null
  } catch {
    return null
  }
}
