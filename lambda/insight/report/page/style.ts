/**
 * The style of the pages, as text. System fonts and no image, since nothing may be fetched. Bars are SVG
 * attributes, not style attributes, which the Content-Security-Policy would refuse.
 */
export const STYLE = `
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1c2128; --quiet: #59636e; --line: #dfe3e8; --soft: #f5f7f9;
  --accent: #1d5c86; --face: #c5d9e8; --good: #1a6b45; --warn: #8a5300; --bad: #ad2525;
  --warn-soft: #fdf5e6; --without: #b8c1ca; --skipped: #d99a2b; --failed: #c93c3c;
  --unreached: #7f8a96;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #15191e; --ink: #e7eaee; --quiet: #a0abb6; --line: #303842; --soft: #1d232a;
    --accent: #7cb8e2; --face: #31506a; --good: #6fcf9f; --warn: #ecb765; --bad: #f28b82;
    --warn-soft: #2b2417; --without: #55606c; --skipped: #d99a2b; --failed: #e5645c;
    --unreached: #8b96a2;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial,
    sans-serif;
  font-variant-numeric: tabular-nums;
}
main { max-width: 70rem; margin: 0 auto; padding: 3rem 2rem 6rem; }
h1, h2, h3, p, ul, dl, dd, table, pre { margin: 0; }
h1 {
  max-width: 24em; font: 600 2.1rem/1.25 "Iowan Old Style", Charter, "Bitstream Charter", Georgia,
    "Source Serif 4", serif;
  font-variant-numeric: lining-nums; letter-spacing: -0.01em; text-wrap: balance;
}
h2 { font-size: 1.2rem; line-height: 1.3; font-weight: 650; margin-bottom: 0.75rem; }
h3 { font-size: 1rem; font-weight: 650; margin: 1.5rem 0 0.25rem; }
section { margin-top: 3.5rem; }
section > p { max-width: 44rem; }
section > p, .lede, .byline, .banner, .warnings p { text-wrap: pretty; }
a { color: var(--accent); overflow-wrap: anywhere; }
code, pre { font: 0.85em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
code, bdi { overflow-wrap: anywhere; }
.quiet { color: var(--quiet); font-weight: 400; }
.fine { color: var(--quiet); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 2px; }

.banner {
  margin-bottom: 0.75rem; padding: 0.75rem 1rem; max-width: none;
  background: var(--warn-soft); border-left: 3px solid var(--skipped);
}
.banner + header { margin-top: 2.25rem; }
.kind {
  display: flex; flex-wrap: wrap; gap: 0.25rem 0.9rem; align-items: baseline; margin-bottom: 0.9rem;
  color: var(--quiet);
}
.status { font-weight: 600; }
.status::before {
  content: ""; display: inline-block; width: 0.55em; height: 0.55em; margin-right: 0.45em;
  border-radius: 50%; background: currentColor; vertical-align: 0.08em;
}
.runs .status { display: inline-block; position: relative; padding-left: 1rem; }
.runs .status::before { position: absolute; left: 0; top: 0.5em; }
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); }
.lede { margin-top: 1rem; max-width: 42rem; font-size: 1.1rem; }
.byline { margin-top: 0.75rem; max-width: 42rem; color: var(--quiet); }

.figures {
  display: grid; grid-template-columns: repeat(4, 1fr); margin-top: 2.75rem;
  border-block: 1px solid var(--line);
}
.figures > div { padding: 1.1rem 1.25rem; border-left: 1px solid var(--line); min-width: 0; }
.figures > div:first-child { padding-left: 0; border-left: 0; }
.figures dt { color: var(--quiet); font-size: 0.875rem; }
.figures dd { font-size: 1.5rem; line-height: 1.35; font-weight: 600; letter-spacing: -0.01em; }
.figures dd .fine { font-size: 0.6em; font-weight: 400; }
.figures dd.note { color: var(--quiet); font-size: 0.875rem; font-weight: 400; letter-spacing: 0; }

.breakdown { margin-top: 1.5rem; }
.breakdown svg { display: block; width: 100%; height: 0.6rem; border-radius: 2px; }
.breakdown ul {
  display: flex; flex-wrap: wrap; gap: 0.25rem 1.5rem; padding: 0; margin-top: 0.6rem;
  list-style: none; font-size: 0.875rem; color: var(--quiet);
}
.breakdown b { color: var(--ink); }
.key { display: inline-block; width: 0.7em; height: 0.7em; margin-right: 0.45em; border-radius: 2px; }
.processed { fill: var(--accent); } .without { fill: var(--without); } .skipped { fill: var(--skipped); }
.failed { fill: var(--failed); } .unreached { fill: var(--unreached); }
.key.processed { background: var(--accent); } .key.without { background: var(--without); }
.key.skipped { background: var(--skipped); } .key.failed { background: var(--failed); }
.key.unreached { background: var(--unreached); }

.warnings { padding: 0; list-style: none; display: grid; gap: 1rem; }
.warnings li { padding-left: 1rem; border-left: 3px solid var(--skipped); max-width: 44rem; }
.warnings strong { font-weight: 600; }
.people { padding-left: 1.1rem; margin-top: 0.5rem; max-width: 48rem; }
.people ul { padding-left: 1.1rem; color: var(--quiet); font-size: 0.9rem; }
.people li + li { margin-top: 0.25rem; }

table { width: 100%; border-collapse: collapse; }
caption { text-align: left; font-weight: 650; padding-bottom: 0.4rem; }
caption .quiet { font-size: 0.875rem; margin-left: 0.5rem; }
th, td {
  padding: 0.5rem 0.75rem; text-align: left; vertical-align: baseline;
  border-bottom: 1px solid var(--line);
}
th:first-child { padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; }
thead th, thead td { color: var(--quiet); font-size: 0.8125rem; font-weight: 500; vertical-align: bottom; }
tbody th { font-weight: 500; }
tfoot > tr > * { border-bottom: 0; }
tfoot th { font-weight: 650; }
.money { text-align: right; white-space: nowrap; }
.money::after { content: attr(data-pad); visibility: hidden; }
.none { color: var(--quiet); }

.bars { font-size: 0.9375rem; }
.bars.wide { margin-bottom: 2.25rem; }
.bars .bar { width: 40%; }
.bars th { overflow-wrap: normal; }
.pair .bars .bar { width: 30%; }
.bars svg { display: block; width: 100%; height: 0.8rem; border-radius: 1px; background: var(--soft); }
.bars .face { fill: var(--face); } .bars .moved { fill: var(--accent); }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 2.25rem 3rem; align-items: start; }

.tools { display: flex; flex-wrap: wrap; align-items: end; gap: 0.75rem 1rem; margin: 1rem 0 0.5rem; }
.tools[hidden] { display: none; }
.tools label span { display: block; color: var(--quiet); font-size: 0.8125rem; }
.tools .search { flex: 0 1 20rem; }
input, select, .more button {
  width: 100%; min-height: 2.5rem; padding: 0.4rem 0.7rem; font: inherit; color: inherit;
  background: var(--paper); border: 1px solid var(--unreached); border-radius: 4px;
}
input::placeholder { color: var(--quiet); opacity: 1; }
#matches { flex: 1 1 14rem; padding-bottom: 0.45rem; text-align: right; color: var(--quiet); }
.more { margin-top: 1rem; }
.more button { width: auto; padding-inline: 1.25rem; cursor: pointer; }
#users { font-size: 0.9375rem; }
#users > tbody th { min-width: 9rem; }
#users > thead th { position: sticky; top: 0; z-index: 1; background: var(--paper); }
thead button {
  padding: 0.15rem 0; border: 0; background: none; font: inherit; color: inherit; cursor: pointer;
  text-align: inherit;
}
thead button:hover, button.user:hover { text-decoration: underline; text-underline-offset: 0.2em; }
thead button::after { content: " ↕"; opacity: 0.45; }
[aria-sort] button { color: var(--ink); font-weight: 650; }
[aria-sort="descending"] button::after { content: " ↓"; opacity: 1; }
[aria-sort="ascending"] button::after { content: " ↑"; opacity: 1; }
button.user {
  display: flex; gap: 0.5rem; padding: 0.1rem 0; border: 0; background: none; font: inherit; color: inherit;
  text-align: left; cursor: pointer;
}
button.user::before { content: "▸"; color: var(--quiet); width: 0.8em; flex: none; }
button.user[aria-expanded="true"]::before { content: "▾"; }
.outcome { white-space: nowrap; }
.outcome.failed { color: var(--bad); }
.outcome.needs_review, .outcome.exceeds_plan, .outcome.changed_since, .outcome.too_recent,
.outcome.excluded {
  color: var(--warn);
}
/* Without a share of its own, the cell cannot make the table wider than the page. */
#users .details > td { max-width: 0; padding: 0.9rem 1.25rem 1.25rem; background: var(--soft); }
.details ul { padding-left: 1.1rem; margin: 0.35rem 0 0.9rem; max-width: 46rem; }
.details .id { color: var(--quiet); font-size: 0.8125rem; }
.details p.quiet { margin-top: 0.6rem; }
.grants { font-size: 0.875rem; }
.description { display: block; color: var(--quiet); font-weight: 400; }
.grants tr:last-child > * { border-bottom: 0; }

pre {
  padding: 0.9rem 1rem; margin-top: 0.6rem; max-height: 24rem; overflow: auto;
  white-space: pre-wrap; overflow-wrap: anywhere;
  background: var(--soft); border-radius: 4px;
}
.facts { display: grid; grid-template-columns: fit-content(14rem) minmax(0, 1fr); gap: 0.4rem 1.75rem; }
.facts dt { color: var(--quiet); overflow-wrap: anywhere; }
.facts dt::first-letter { text-transform: uppercase; }

@media screen and (min-width: 901px) { .runs tbody th { min-width: 25rem; } }
@media screen and (max-width: 900px) {
  .figures { grid-template-columns: 1fr 1fr; }
  .figures > div:nth-child(odd) { padding-left: 0; border-left: 0; }
  .figures > div:nth-child(n + 3) { border-top: 1px solid var(--line); }
  .pair { grid-template-columns: 1fr; }
  .bars.wide .bar { width: 28%; }
  thead th.money { white-space: normal; }
  #users > thead th, #users > tbody > tr:not(.details) > * { padding-inline: 0.4rem; }
  #users > thead th:first-child, #users > tbody > tr:not(.details) > :first-child { padding-left: 0; }
  #users > thead th:last-child, #users > tbody > tr:not(.details) > :last-child { padding-right: 0; }
  #users > thead th:is(:nth-child(3), :nth-child(4), :nth-child(6)),
  #users > tbody > tr > :is(:nth-child(3), :nth-child(4), :nth-child(6)) { display: none; }
  .grants { table-layout: fixed; }
  .grants th, .grants td { padding-inline: 0.4rem; }
  #matches { text-align: left; flex-basis: 100%; }
}
@media screen and (max-width: 640px) {
  main { padding: 1.75rem 1.1rem 4rem; }
  h1 { font-size: 1.6rem; }
  section { margin-top: 2.75rem; }
  .figures > div { padding: 0.9rem 0.75rem; }
  .figures dd { font-size: 1.2rem; }
  .facts { grid-template-columns: 1fr; gap: 0; }
  .facts dd { margin-bottom: 0.7rem; }
  .tools .search { flex-basis: 100%; }

  .bars, .bars :is(tbody, tfoot), .plain, .plain tbody, .grants, .grants tbody, #users, #users > * { display: block; }
  .bars thead, .plain thead, .grants thead { display: none; }
  .bars caption { display: block; }
  .bars tr, .plain tr, .grants tr, #users > tbody > tr {
    display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 0.15rem 1rem; padding: 0.6rem 0;
    border-bottom: 1px solid var(--line);
  }
  .grants tr:last-child { border-bottom: 0; }
  .bars th, .bars td, .plain th, .plain td, .grants th, .grants td, #users > tbody > tr > * {
    padding: 0; border: 0;
  }
  td.money::after { content: none; }

  .bars .bar, .bars.wide .bar, .pair .bars .bar { grid-area: 2 / 1 / 3 / -1; width: auto; }
  .bars td.money:last-child { grid-area: 1 / 2; }
  .bars td.money:not(:last-child) { color: var(--quiet); font-size: 0.8125rem; text-align: left; }
  .bars td[data-label]:not(:last-child)::before { content: attr(data-label) " "; }

  .plain th, .grants th { grid-column: 1 / -1; }
  .plain td, .grants td {
    display: flex; justify-content: space-between; grid-column: 1 / -1; font-size: 0.875rem;
  }
  .plain.runs td { text-align: right; gap: 0.75rem; }
  .plain td::before, .grants td::before { content: attr(data-label); color: var(--quiet); }

  #users > thead tr { display: flex; flex-wrap: wrap; gap: 0.1rem 1.1rem; }
  #users > thead { padding-bottom: 0.5rem; border-bottom: 1px solid var(--line); }
  #users > thead th { position: static; padding: 0; border: 0; }
  thead button { min-height: 1.75rem; }
  #users > tbody > tr > :nth-child(2) { grid-area: 2 / 1; font-size: 0.8125rem; }
  #users > tbody > tr > :nth-child(5) { grid-area: 1 / 2; }
  #users > tbody > tr > :nth-child(7) { grid-area: 2 / 2; font-size: 0.8125rem; color: var(--quiet); }
  #users > tbody > tr > :nth-child(7)::before { content: "Balance "; }
  #users > tbody > tr:not(.details) > :nth-child(2) { padding-left: 1.3rem; }
  #users > tbody > tr.details { display: block; padding: 0; }
  #users > tbody > tr.details > td { display: block; max-width: none; padding: 0.75rem 1rem 1rem; }
}
@media print {
  @page { margin: 16mm 14mm; }
  html { font-size: 8.5pt; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { font-size: 1rem; }
  main { max-width: none; padding: 0; }
  section { margin-top: 9mm; }
  h2, h3, caption { break-after: avoid; }
  thead, tr, li, .figures, .breakdown { break-inside: avoid; }
  thead { display: table-header-group; }
  .details { break-inside: auto; }
  .figures { margin-top: 7mm; }
  .tools, .more button, thead button, button.user::before { display: none !important; }
  /* Chromium repeats no header on the next sheet that has a button in it. */
  thead th:has(button)::before { content: attr(data-label); }
  th, td { padding: 1.1mm 2mm; }
  #users { font-size: 0.875rem; }
  #users > thead th { position: static; }
  pre { max-height: none; }
  a { color: inherit; text-decoration: none; }
}
`
