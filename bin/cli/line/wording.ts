import { commandFor, isObject, optionFor } from './shell.ts'

/**
 * A message of the job in the words of this command: payloads become command lines, fields become options.
 * `{"resume": "x"}` → `npm start -- --resume x`; `field "domains"` → `--domains`; `add "restart": "x" to this
 * payload` → `add --restart x to this command`.
 */
export function inCommandWords(text: string): string {
  let result = ''
  let rest = text
  for (;;) {
    const start = rest.indexOf('{')
    const end = start === -1 ? -1 : endOfObject(rest, start)
    const before = end === -1 ? rest : rest.slice(0, start)
    result += fieldsAsOptions(before)
    if (end === -1) return result
    const json = rest.slice(start, end)
    const payload = payloadIn(json)
    if (payload)
      result = result.replace(/\b([Ss])end (the )?(command )?$/, (_, s: string) =>
        s === 'S' ? 'Run ' : 'run ',
      )
    result += payload ? commandFor(payload) : json
    rest = rest.slice(end)
  }
}

function fieldsAsOptions(text: string): string {
  return text
    .replace(/^The event is not valid: /, 'The options are not valid: ')
    .replaceAll(
      /field "([\w.]+)(\[\d+\])?"/g,
      (all, field: string, place?: string) => named(field, place) ?? all,
    )
    .replaceAll(
      /"([\w.]+)": (?:"([^"]*)"|true|(\d+))/g,
      (all, field: string, value?: string, digits?: string) =>
        [named(field) ?? all, ...(named(field) ? [value ?? digits ?? []] : [])].flat().join(' '),
    )
    .replaceAll(/"([a-z][\w.]*)"/gi, (all, field: string) => named(field) ?? all)
    .replaceAll(/\blimits\.\w+\b/g, (field) => named(field) ?? field)
    .replaceAll('The folder runs/ shows all ids.', 'npm start -- --runs shows all runs.')
    .replaceAll(/\b(this|the|its|another|same|valid) payload\b/gi, '$1 command')
}

function named(field: string, place?: string): string | undefined {
  const option = optionFor(field.replace(/\.\d+$/, ''))
  return option && (place === undefined ? option : `${option} ${place}`)
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
    return isObject(value) ? value : null
  } catch {
    return null
  }
}
