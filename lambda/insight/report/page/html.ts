const MARKUP = Symbol('markup')

/**
 * Markup that only `html` and `markup` make. Text that was read from a log can never be one: JSON has no
 * symbols.
 */
export type Html = { readonly [MARKUP]: string }

/** What a template takes: markup is kept, everything else is escaped. */
export type Content = Html | readonly Html[] | string | number

/**
 * Markup from a template. Every value that is not markup itself is escaped, in text and in quoted
 * attributes.
 */
export function html(parts: TemplateStringsArray, ...values: readonly Content[]): Html {
  const text = parts.reduce((made, part, index) => made + textOf(values[index - 1]) + part)
  return { [MARKUP]: text }
}

/**
 * Text of this program itself (style, script, base64), which must not be escaped. Never give it a value
 * that was read.
 */
export function markup(text: string): Html {
  return { [MARKUP]: text }
}

/** Nothing at all, where a part of a page is left out. */
export const nothing: Html = markup('')

/** The finished text of a page. */
export function pageText(page: Html): string {
  return page[MARKUP]
}

function textOf(content: Content | undefined): string {
  if (content === undefined) return ''
  if (typeof content === 'object') {
    return isMarkup(content) ? content[MARKUP] : content.map((item) => item[MARKUP]).join('')
  }
  return escaped(String(content))
}

function isMarkup(content: Html | readonly Html[]): content is Html {
  return MARKUP in content
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character)
}
