/** What every page has around its reports: a single file that asks for nothing outside of itself. */

import { SCRIPT, STYLE } from "#page/assets.js";
import type { PageContext } from "./context.ts";
import { html, type Markup, trusted } from "./markup.ts";

/** Nothing is loaded, and no other script or style than the page's own runs. */
const POLICY = [
  "default-src 'none'",
  `script-src '${SCRIPT.hash}'`,
  `style-src '${STYLE.hash}'`,
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

/**
 * A whole page, ending with a newline.
 *
 * @param tool the command that it is of
 */
export function pageShell(
  { title, tool, body }: { readonly title: string; readonly tool: string; readonly body: Markup },
  { w }: PageContext,
): string {
  const page = html`<!doctype html>
<html lang="${w.tag}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${trusted(POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${title}</title>
<style>${trusted(STYLE.text)}</style>
</head>
<body>
<a class="skip" href="#report">${w.skip}</a>
<header class="bar"><p class="tool">${tool}</p><button type="button" id="theme" data-light="${w.light}" data-dark="${w.dark}" hidden></button></header>
<main id="report">
${body}
</main>
<script>${trusted(SCRIPT.text)}</script>
</body>
</html>
`;
  return page.source;
}
