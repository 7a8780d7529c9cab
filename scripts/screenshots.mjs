// @ts-check
/**
 * `npm run screenshots`: pictures of the HTML report for the documentation, of a
 * pair of the fixtures, in both themes and both languages. Needs Chromium.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { findChromium, HOW_TO_GET } from "./lib/browser.mjs";
import { Failure, main } from "./lib/failure.mjs";
import { ROOT } from "./lib/paths.mjs";
import { run } from "./lib/process.mjs";

const PAIRS = join(ROOT, "fixtures", "pairs");

/** What is seen of the page. */
const SIZE = { width: 1180, height: 1500 };

/** @type {readonly (readonly ["light" | "dark", "en" | "zh"])[]} */
const PICTURES = [
  ["light", "en"],
  ["dark", "en"],
  ["light", "zh"],
  ["dark", "zh"],
];

await main(async () => {
  const executablePath = findChromium();
  if (executablePath === undefined) {
    throw new Failure("no browser shows the report", [["looked for", "Chromium"]], HOW_TO_GET);
  }
  const folder = mkdtempSync(join(tmpdir(), "npu-diff-screenshots-"));
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  const browser = await chromium.launch({ executablePath, args });
  try {
    for (const [colorScheme, lang] of PICTURES) {
      const html = join(folder, `${lang}.html`);
      const dumps = ["clean/reference", "rotary-base/candidate", "clean/floor"];
      const [reference = "", candidate = "", floor = ""] = dumps.map((name) =>
        join(PAIRS, `${name}.arrow`),
      );
      const compare = ["compare", reference, candidate, "--floor", floor, "--lang", lang];
      const program = join(ROOT, "dist", "cli", "main.js");
      await run(process.execPath, [program, ...compare, "--exit-zero", "-o", html]);
      const page = await browser.newPage({ colorScheme, viewport: SIZE });
      await page.goto(pathToFileURL(html).href);
      await page.screenshot({ path: join(ROOT, "docs", `report-${colorScheme}-${lang}.png`) });
      await page.close();
    }
  } finally {
    await browser.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
