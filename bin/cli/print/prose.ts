/**
 * Sentences on lines of at most `width` characters. One with a command is a line of its own and stays whole:
 * a part of a command, copied alone, may be another command.
 */
export function prose(text: string, width: number): string {
  if (width === Infinity) return text
  const parts = text.split(/(?<=\S[.!?]) (?=\S)/)
  const lines: string[] = []
  let plain = ''
  for (const part of parts) {
    if (!part.includes('npm start')) plain += plain === '' ? part : ` ${part}`
    else {
      if (plain !== '') lines.push(...wrapped(plain, width))
      lines.push(part)
      plain = ''
    }
  }
  return [...lines, ...(plain === '' ? [] : wrapped(plain, width))].join('\n')
}

/**
 * A text on lines of at most `width` characters, broken between words. The first line begins with `first`,
 * later ones with `later`.
 */
export function wrapped(text: string, width: number, first = '', later = first): string[] {
  const lines: string[] = []
  let line = first
  for (const word of text.split(' ')) {
    const begun = line !== first && line !== later
    if (begun && line.length + 1 + word.length > width) {
      lines.push(line)
      line = later
    }
    line += line === first || line === later ? word : ` ${word}`
  }
  return [...lines, line]
}

/**
 * The same for text from the database or the bucket: a word that is longer than a line is shortened, so that
 * no line is.
 */
export function paragraph(text: string, width: number, first = '', later = first): string[] {
  const room = width - Math.max(first.length, later.length)
  const words = text
    .split(' ')
    .map((word) => (word.length > room ? `${word.slice(0, Math.max(1, room - 1))}…` : word))
  return wrapped(words.join(' '), width, first, later)
}
