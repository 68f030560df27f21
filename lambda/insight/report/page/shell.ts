import { createHash } from 'node:crypto'
import { html, type Html, markup, nothing, pageText } from './html.ts'
import { STYLE } from './style.ts'

/**
 * A whole page as one file. Its Content-Security-Policy forbids every request and allows only this style
 * and this script, each by the hash of its text, so that markup which slipped in somewhere could still
 * run nothing and load nothing.
 */
export function pageOf(page: { title: string; body: Html; script?: string }): string {
  const { title, body, script } = page
  const policy = [
    "default-src 'none'",
    'img-src data:',
    `style-src '${hashOf(STYLE)}'`,
    ...(script === undefined ? [] : [`script-src '${hashOf(script)}'`]),
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ')
  return pageText(
    html`<!doctype html>
      <html lang="en">
        <head>
          <meta charset="utf-8" />
          <meta http-equiv="Content-Security-Policy" content="${policy}" />
          <meta name="viewport" content="width=device-width, initial-scale=1" />
          <meta name="color-scheme" content="light dark" />
          <meta name="referrer" content="no-referrer" />
          <meta name="robots" content="noindex" />
          <link rel="icon" href="data:," />
          <title>${title}</title>
          ${element('style', STYLE)}
        </head>
        <body>
          <main>${body}</main>
          ${script === undefined ? nothing : element('script', script)}
        </body>
      </html> `,
  )
}

/** In one piece: with one more space between the tags, by a formatter say, the hash is another one. */
function element(tag: 'style' | 'script', text: string): Html {
  return markup(`<${tag}>${text}</${tag}>`)
}

function hashOf(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`
}
